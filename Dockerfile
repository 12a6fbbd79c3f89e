# unseen in a container: photos at /photos, read-only; the library and what can be made again at /data.
#   docker build -t unseen .
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
WORKDIR /source
COPY setup.py pyproject.toml README.md ./
COPY engine engine
COPY indexer indexer
COPY webapp webapp
COPY migrations migrations
# torch for the CPU, without the gigabytes of CUDA
RUN python -m venv /unseen \
 && /unseen/bin/pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu \
 && /unseen/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /unseen /unseen
RUN useradd --uid 1000 --create-home unseen && install -d -o unseen -g unseen /data /photos
USER unseen
ENV PATH=/unseen/bin:$PATH PYTHONUNBUFFERED=1 \
    UNSEEN_LIBRARY=/data/library UNSEEN_CACHE=/data/cache UNSEEN_HOST=0.0.0.0 UNSEEN_ROOTS=/photos \
    UNSEEN_LOG_REQUESTS=1 UNSEEN_LOG_FORMAT=json
VOLUME /data
EXPOSE 8410
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=20s CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8410/healthz', timeout=5)"
ENTRYPOINT ["unseen"]
CMD ["serve"]
