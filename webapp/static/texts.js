// The texts that scripts show come with the page (webapp/texts.py).

const texts = JSON.parse(document.body.dataset.texts);

export const text = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
