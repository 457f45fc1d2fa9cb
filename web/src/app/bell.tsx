import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { noticesQuery } from "@/api/queries";
import { Icon } from "@/components/icon";

/** How many notices are open, with the way to them. */
export function Bell() {
  const { data = [] } = useQuery(noticesQuery(false));
  const critical = data.some((notice) => notice.severity === "critical");
  const label = data.length === 1 ? "1 notice" : `${data.length} notices`;
  return (
    <Link className="button ghost icon bell" to="/notices" aria-label={label} title={label}>
      <Icon name="bell" />
      {data.length > 0 && (
        <span className={`bell-count num tone-${critical ? "bad" : "warn"}`}>{data.length}</span>
      )}
    </Link>
  );
}
