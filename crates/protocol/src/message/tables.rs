//! Route tables on a connection: the first one whole, those after it as what became of the one before. Both ends remember
//! the last one, so that nobody else has to know in which form one came.

use super::FromControlPlane;
use crate::spec::{Misfit, ProxySpec, Spec, TableChange, Versioned};

/// The last table of a connection.
#[derive(Debug, Default)]
pub struct LastTable(Option<Versioned<ProxySpec>>);

impl LastTable {
    /// `message` as it is sent to an agent that takes changes.
    pub fn shorten(&mut self, message: FromControlPlane) -> FromControlPlane {
        let Some(table) = table_of(&message) else { return message };
        let change = self.0.as_ref().map(|last| Box::new(TableChange::between(last, &table)));
        self.0 = Some(table);
        change.map_or(message, FromControlPlane::SpecChange)
    }

    /// `message` as it was before [`LastTable::shorten`].
    pub fn lengthen(&mut self, message: FromControlPlane) -> Result<FromControlPlane, Misfit> {
        let message = match message {
            FromControlPlane::SpecChange(change) => {
                let Versioned { generation, spec } = change.apply(self.0.as_ref())?;
                FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) })
            }
            message => message,
        };
        if let Some(table) = table_of(&message) {
            self.0 = Some(table);
        }
        Ok(message)
    }
}

fn table_of(message: &FromControlPlane) -> Option<Versioned<ProxySpec>> {
    match message {
        FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) }) => {
            Some(Versioned { generation: *generation, spec: spec.clone() })
        }
        _ => None,
    }
}
