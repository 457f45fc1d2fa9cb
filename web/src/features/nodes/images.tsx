import type { NodeImages } from "@/api/types";
import { bytes } from "@/lib/bytes";

/** What the images of a node take, what is about to go, and what stands in the way. */
export function ImageFacts({ images }: { images: NodeImages }) {
  return (
    <>
      <dt>Images</dt>
      <dd className="num">
        {images.count} · {bytes(images.size_bytes)}
        {images.reclaimable_bytes > 0 && (
          <span className="sub">{bytes(images.reclaimable_bytes)} no longer needed: removed soon</span>
        )}
        {images.cache_bytes > 0 && <span className="sub">{bytes(images.cache_bytes)} build cache</span>}
        {images.copies_waiting > 0 && <span className="sub">{images.copies_waiting} to fetch</span>}
        {images.problems.map((problem) => (
          <span className="sub" key={problem}>
            {problem}
          </span>
        ))}
      </dd>
    </>
  );
}
