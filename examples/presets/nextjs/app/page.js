export const dynamic = "force-dynamic";

export default function Page() {
  return <p>Hello from Next.js, rendered on the server</p>;
}
