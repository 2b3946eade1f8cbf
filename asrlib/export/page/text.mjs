// From label numbers to text: each label has a text of its own, another one where it comes first.

/** Return the text of labels. `writing` is {first, later, trim}: two texts for each label number. */
export function written(labels, writing) {
  const text = labels.map((label, n) => (n === 0 ? writing.first : writing.later)[label]).join("");
  return writing.trim ? text.trim() : text;
}
