import type { ReactNode } from "react";
import { ErrorNotice, TableSkeleton } from "./page";

interface Props<Row> {
  query: { isError: boolean; error: unknown; refetch: () => unknown };
  /** Absent until the query has an answer. */
  rows: Row[] | undefined;
  /** Widths of the columns that are to come, in px. */
  skeleton: number[];
  empty: ReactNode;
  children: (rows: Row[]) => ReactNode;
}

/** A card's table, or why there is none: not here yet, not to be had, nothing in it. */
export function Rows<Row>({ query, rows, skeleton, empty, children }: Props<Row>) {
  return (
    <>
      {query.isError && (
        <div className="card-body">
          <ErrorNotice error={query.error} retry={query.refetch} />
        </div>
      )}
      {!rows && !query.isError && <TableSkeleton columns={skeleton} />}
      {rows && (rows.length === 0 ? empty : children(rows))}
    </>
  );
}
