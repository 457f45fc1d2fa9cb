/** Texts of the API begin in lower case, to stand behind a colon; alone they begin as sentences do. */
export function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
