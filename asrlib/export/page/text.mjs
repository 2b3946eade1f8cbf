// From label numbers to text: each label has a text of its own, and another one while there is no text yet.

/** Return the text of labels. `writing` is {first, later, trim}: two texts for each label number. */
export function written(labels, { first, later, trim }) {
  const text = labels.reduce((before, label) => before + (before === "" ? first : later)[label], "");
  return trim ? text.trim() : text;
}
