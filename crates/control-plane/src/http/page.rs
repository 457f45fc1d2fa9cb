//! Lists: `{ "items": […], "next": cursor }`, by keyset over ids, which sort by creation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Query parameters of a list.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next` of the page before.
    pub cursor: Option<Uuid>,
    /// At most 200; 50 when absent.
    #[serde(default = "default_limit")]
    pub limit: i64,
}

fn default_limit() -> i64 {
    50
}

impl PageQuery {
    pub fn limit(&self) -> i64 {
        self.limit.clamp(1, 200)
    }
}

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next: Option<Uuid>,
}

impl<T> Page<T> {
    /// From up to `limit + 1` items: the extra one says that there is more.
    pub fn new(mut items: Vec<T>, limit: i64, id: impl Fn(&T) -> Uuid) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(id) } else { None };
        Self { items, next }
    }

    /// A list that is always whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
