//! Agents that jobs may be given to.

use std::cmp::Reverse;

use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use sqlx::PgConnection;

use crate::jobs::kind_of;

/// How many orders one proxy carries out at a time.
const ORDERS: i32 = 4;

/// The connected agents of a kind, as one look found them, for claims one after the other: there may be a thousand of both.
/// Others claim meanwhile, so the agent that is chosen is looked at again once its row is held.
#[derive(Debug)]
pub struct Free {
    pub(super) agent: AgentKind,
    /// Absent until the first job wants one.
    agents: Option<Vec<One>>,
}

#[derive(Debug)]
struct One {
    node: NodeId,
    name: String,
    slots: i64,
    running: i64,
}

impl Free {
    pub fn of(agent: AgentKind) -> Self {
        Self { agent, agents: None }
    }

    async fn look(&mut self, conn: &mut PgConnection) -> sqlx::Result<()> {
        let found = sqlx::query_as!(
            One,
            r#"select agents.node_id as node, nodes.name, coalesce(running, 0) as "running!",
                      case agents.kind when 'proxy' then $3 else agents.build_slots end::bigint as "slots!"
               from agents
               join nodes on nodes.id = agents.node_id and nodes.removed_at is null
                    and ($2 <> 'build' or nodes.takes_builds and nodes.cordoned_at is null)
               left join (
                   select node_id, count(*) as running from jobs where state = 'running' and kind = $2 group by node_id
               ) as load on load.node_id = agents.node_id
               where agents.kind = $1 and agents.connected_to is not null"#,
            self.agent as _,
            kind_of(self.agent),
            ORDERS
        )
        .fetch_all(conn)
        .await?;
        self.agents = Some(found);
        Ok(())
    }

    /// Of those with room: `last`, for which no job waits, however; else the one with the smallest share of its slots in
    /// use.
    fn best(&mut self, last: Option<NodeId>) -> Option<&mut One> {
        let with_room = self.agents.iter_mut().flatten().filter(|one| one.running < one.slots);
        with_room.min_by(|a, b| {
            let is_last = |one: &One| Reverse(Some(one.node) == last);
            let shares = (a.running * b.slots).cmp(&(b.running * a.slots));
            is_last(a).cmp(&is_last(b)).then(shares).then_with(|| a.name.cmp(&b.name))
        })
    }

    /// Takes a slot of the best. Its row is held until the transaction ends, so that no other claim takes the same slot.
    pub(super) async fn take(
        &mut self,
        conn: &mut PgConnection,
        last: Option<NodeId>,
    ) -> sqlx::Result<Option<(NodeId, String)>> {
        if self.agents.is_none() {
            self.look(conn).await?;
        }
        let agent = self.agent;
        while let Some(one) = self.best(last) {
            (one.slots, one.running) = held(conn, agent, one.node).await?;
            if one.running < one.slots {
                one.running += 1;
                return Ok(Some((one.node, one.name.clone())));
            }
        }
        Ok(None)
    }
}

/// The slots of an agent and how many are in use, with its row held; none when it is gone or full. A full one is not held:
/// who goes on to another one must not keep others from it.
async fn held(conn: &mut PgConnection, agent: AgentKind, node: NodeId) -> sqlx::Result<(i64, i64)> {
    let slots = sqlx::query_scalar!(
        r#"select case agents.kind when 'proxy' then $4 else agents.build_slots end::bigint as "slots!"
           from agents
           join nodes on nodes.id = agents.node_id and nodes.removed_at is null
                and ($3 <> 'build' or nodes.takes_builds and nodes.cordoned_at is null)
           where agents.node_id = $1 and agents.kind = $2 and agents.connected_to is not null
             and (select count(*) from jobs where state = 'running' and kind = $3 and node_id = $1)
                 < case agents.kind when 'proxy' then $4 else agents.build_slots end
           for update of agents"#,
        node as _,
        agent as _,
        kind_of(agent),
        ORDERS
    )
    .fetch_optional(&mut *conn)
    .await?;
    // Counted after the row is held: what others gave it before is committed.
    let running = sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where state = 'running' and kind = $2 and node_id = $1"#,
        node as _,
        kind_of(agent)
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok((slots.unwrap_or(0), running))
}
