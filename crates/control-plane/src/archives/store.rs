use bytes::Bytes;
use futures_util::Stream;
use protocol::ids::{AppId, ArchiveId};
use sqlx::{PgConnection, PgPool};

/// Forgets uploads that broke off and archives that no deployment came for.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from archives where (not complete and created_at < now() - interval '1 hour')
            or (created_at < now() - interval '1 day' and not exists (
                select from deployments where deployments.source ->> 'archive_id' = archives.id::text
                  and state in ('queued', 'building', 'rolling-out')
            ))"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins an archive; nobody sees it before [`finish`].
pub async fn begin(conn: &mut PgConnection, id: ArchiveId, app: AppId) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into archives (id, app_id, sha256, size_bytes) values ($1, $2, '', 0)",
        id as _,
        app as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn append(conn: &mut PgConnection, id: ArchiveId, number: i32, bytes: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into archive_chunks (archive_id, number, bytes) values ($1, $2, $3)",
        id as _,
        number,
        bytes
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn finish(conn: &mut PgConnection, id: ArchiveId, sha256: &str, size: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "update archives set complete = true, sha256 = $2, size_bytes = $3 where id = $1",
        id as _,
        sha256,
        size
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete(conn: &mut PgConnection, id: ArchiveId) -> sqlx::Result<()> {
    sqlx::query!("delete from archives where id = $1", id as _).execute(conn).await?;
    Ok(())
}

/// Whether the app has this archive, wholly uploaded. It stays until the transaction ends.
pub async fn is_whole(conn: &mut PgConnection, app: AppId, id: ArchiveId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select id from archives where id = $1 and app_id = $2 and complete for update",
        id as _,
        app as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// The bytes of an archive, a chunk at a time; empty for one that does not exist.
pub fn stream(pool: PgPool, id: ArchiveId) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    futures_util::stream::try_unfold(0, move |number| {
        let pool = pool.clone();
        async move {
            let chunk = sqlx::query_scalar!(
                "select bytes from archive_chunks join archives on archives.id = archive_id
                 where archive_id = $1 and number = $2 and complete",
                id as _,
                number
            )
            .fetch_optional(&pool)
            .await?;
            Ok(chunk.map(|bytes| (Bytes::from(bytes), number + 1)))
        }
    })
}
