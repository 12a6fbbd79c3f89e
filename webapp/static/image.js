// An image as the query: chosen, dropped or pasted.

export function onImage(ask) {
  document.querySelector(".pick input").addEventListener("change", ({ target }) => ask(target.files[0]));
  document.addEventListener("paste", ({ clipboardData: { files } }) => files.length && ask(files[0]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, () => document.body.classList.remove("dropping"));
  }
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const { files } = event.dataTransfer;
    if (files.length) ask(files[0]);
  });
}
