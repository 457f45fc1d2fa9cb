/** What the API says for people: `code` stands between backticks. */
export function Words({ text }: { text: string }) {
  return text.split("`").map((part, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text have no other identity
    index % 2 === 0 ? part : <code key={index}>{part}</code>,
  );
}
