//! Which app a port leads to. An entry that stays as it was is kept, and what is known of instances and open connections
//! outlives every change.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::Counter;
use protocol::spec::options::UpstreamProtocol;
use protocol::stream::{Stream, StreamProtocol};

use crate::Problem;
use crate::balance::Balancer;
use crate::options::Networks;
use crate::table::host_key;
use crate::traffic::{AppRecorder, Recorder};
use crate::upstream::Endpoint;

/// Protocol and port.
pub(crate) type StreamKey = (StreamProtocol, u16);

/// All streams of one spec.
#[derive(Debug, Default)]
pub(crate) struct StreamTable(BTreeMap<StreamKey, Arc<StreamEntry>>);

/// A stream as its listener uses it.
#[derive(Debug)]
pub(crate) struct StreamEntry {
    pub(super) upstreams: Balancer,
    /// `None` lets everybody in.
    allow: Option<Networks>,
    pub(super) proxy_protocol: bool,
    /// Whose certificate is shown; `None` without TLS.
    pub(super) tls: Option<Box<str>>,
    pub(super) idle: Duration,
    pub(super) tally: Arc<Tally>,
    endpoints: BTreeMap<SocketAddr, Arc<Endpoint>>,
    spec: Stream,
}

/// What is counted of a stream.
pub(crate) struct Tally {
    open: AtomicUsize,
    connections: Counter,
    received: Counter,
    sent: Counter,
    /// For the control plane; absent when that is not asked for.
    traffic: Option<Arc<AppRecorder>>,
}

/// One open connection or session, until dropped.
#[derive(Debug)]
pub(super) struct Open(pub(super) Arc<Tally>);

impl StreamTable {
    /// The table of `streams` that takes over from this one what they leave as it is.
    pub(crate) fn succeed(
        &self,
        streams: &[Stream],
        recorder: Option<&Recorder>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut table = BTreeMap::new();
        for stream in streams {
            let key = (stream.protocol, stream.port);
            let before = self.0.get(&key);
            let entry = match before {
                Some(same) if same.spec == *stream => Ok(Arc::clone(same)),
                _ if table.contains_key(&key) => Err("is there twice"),
                _ => StreamEntry::new(stream, before, recorder).map(Arc::new),
            };
            match entry {
                Ok(entry) => {
                    table.insert(key, entry);
                }
                Err(problem) => {
                    problems
                        .push(Problem::new(format!("stream {}/{}", stream.port, stream.protocol), problem));
                }
            }
        }
        Self(table)
    }

    pub(crate) fn find(&self, key: StreamKey) -> Option<Arc<StreamEntry>> {
        self.0.get(&key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<StreamKey> {
        self.0.keys().copied().collect()
    }
}

impl StreamEntry {
    fn new(
        stream: &Stream,
        before: Option<&Arc<Self>>,
        recorder: Option<&Recorder>,
    ) -> Result<Self, &'static str> {
        let options = &stream.options;
        if stream.port == 0 {
            return Err("has no port");
        }
        let tls = match options.tls.as_deref().map(host_key) {
            None => None,
            Some(Some(host)) => Some(Box::from(&*host)),
            Some(None) => return Err("names a host for TLS that is none"),
        };
        let endpoint = |address: SocketAddr| {
            let known = before.and_then(|before| before.endpoints.get(&address)).cloned();
            known.unwrap_or_else(|| Arc::new(Endpoint::new(address, UpstreamProtocol::Http1)))
        };
        let endpoints: BTreeMap<_, _> =
            stream.upstreams.iter().map(|upstream| (upstream.address, endpoint(upstream.address))).collect();
        let members = stream.upstreams.iter();
        let members = members.map(|upstream| (Arc::clone(&endpoints[&upstream.address]), upstream.weight));
        let same_app = before.filter(|before| before.spec.app == stream.app);
        let idle = options.idle_timeout_s.unwrap_or(stream.protocol.idle_timeout_s()).max(1);
        Ok(Self {
            upstreams: Balancer::new(members.collect()),
            allow: (!options.allow.is_empty()).then(|| Networks::new(&options.allow)),
            proxy_protocol: options.proxy_protocol,
            tls,
            idle: Duration::from_secs(idle.into()),
            tally: same_app
                .map_or_else(|| Arc::new(Tally::new(stream, recorder)), |before| Arc::clone(&before.tally)),
            endpoints,
            spec: stream.clone(),
        })
    }

    /// Whether a client at `address` may come in.
    pub(super) fn lets_in(&self, address: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|networks| networks.contains(address.to_canonical()))
    }

    /// Whether `address` is still one of its instances.
    pub(super) fn leads_to(&self, address: SocketAddr) -> bool {
        self.endpoints.contains_key(&address)
    }

    /// A place for one more connection, if there are not too many.
    pub(super) fn open(&self) -> Option<Open> {
        let most = usize::try_from(self.spec.options.max_connections).unwrap_or(usize::MAX);
        let one_more = |open: usize| (open < most).then_some(open + 1);
        self.tally.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Open(Arc::clone(&self.tally)))
    }
}

impl Tally {
    fn new(stream: &Stream, recorder: Option<&Recorder>) -> Self {
        let labels = [
            ("app", stream.app.clone()),
            ("protocol", stream.protocol.to_string()),
            ("port", stream.port.to_string()),
        ];
        Self {
            open: AtomicUsize::new(0),
            connections: metrics::counter!("wisehosting_ingress_stream_connections_total", &labels),
            received: metrics::counter!("wisehosting_ingress_stream_received_bytes_total", &labels),
            sent: metrics::counter!("wisehosting_ingress_stream_sent_bytes_total", &labels),
            traffic: recorder.map(|recorder| recorder.app(&stream.app)),
        }
    }

    /// A connection, or session, was led to an instance.
    pub(super) fn connected(&self) {
        self.connections.increment(1);
        if let Some(traffic) = &self.traffic {
            traffic.connected();
        }
    }

    /// Bytes came from a client, or went to it.
    pub(super) fn moved(&self, received: u64, sent: u64) {
        if received > 0 {
            self.received.increment(received);
        }
        if sent > 0 {
            self.sent.increment(sent);
        }
        if let Some(traffic) = &self.traffic {
            traffic.moved(received, sent);
        }
    }

    /// An instance could not be reached.
    pub(super) fn upstream_failed(&self) {
        if let Some(traffic) = &self.traffic {
            traffic.upstream_failed();
        }
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::InstanceId;
    use protocol::spec::Upstream;
    use protocol::stream::StreamOptions;

    use super::*;

    fn stream(port: u16, upstreams: &[u16]) -> Stream {
        let upstream = |port: &u16| Upstream {
            instance: InstanceId::new(),
            address: SocketAddr::from(([10, 50, 0, 2], *port)),
            weight: 1,
        };
        Stream {
            protocol: StreamProtocol::Tcp,
            port,
            app: "db".to_owned(),
            upstreams: upstreams.iter().map(upstream).collect(),
            options: StreamOptions::default(),
        }
    }

    fn succeed(table: &StreamTable, streams: &[Stream]) -> (StreamTable, Vec<Problem>) {
        let mut problems = Vec::new();
        let table = table.succeed(streams, None, &mut problems);
        (table, problems)
    }

    #[test]
    fn what_is_known_of_a_stream_outlives_a_change_of_its_instances() {
        let (table, _) = succeed(&StreamTable::default(), &[stream(5432, &[1, 2]), stream(25, &[1])]);
        let (db, mail) = (table.find((StreamProtocol::Tcp, 5432)), table.find((StreamProtocol::Tcp, 25)));
        let (db, mail) = (db.expect("stream"), mail.expect("stream"));
        let _open = db.open().expect("a place");
        let _busy = db.endpoints[&SocketAddr::from(([10, 50, 0, 2], 2))].begin();
        let (next, _) = succeed(&table, &[stream(5432, &[2, 3]), mail.spec.clone()]);
        let changed = next.find((StreamProtocol::Tcp, 5432)).expect("stream");
        assert!(Arc::ptr_eq(&mail, &next.find((StreamProtocol::Tcp, 25)).expect("stream")));
        assert!(Arc::ptr_eq(&changed.tally, &db.tally));
        assert_eq!(changed.endpoints[&SocketAddr::from(([10, 50, 0, 2], 2))].in_flight(), 1);
        assert!(!changed.leads_to(SocketAddr::from(([10, 50, 0, 2], 1))));
    }

    #[test]
    fn a_stream_has_as_many_places_as_it_says_and_gets_them_back() {
        let mut few = stream(5432, &[1]);
        few.options.max_connections = 1;
        let (table, _) = succeed(&StreamTable::default(), &[few]);
        let entry = table.find((StreamProtocol::Tcp, 5432)).expect("stream");
        let open = entry.open();
        assert!(open.is_some() && entry.open().is_none());
        drop(open);
        assert!(entry.open().is_some());
    }

    #[test]
    fn what_cannot_be_served_is_told_and_left_out() {
        let mut unnamed = stream(1, &[1]);
        unnamed.options.tls = Some("not a host".to_owned());
        let all = [stream(0, &[1]), unnamed, stream(2, &[1]), stream(2, &[2])];
        let (table, problems) = succeed(&StreamTable::default(), &all);
        assert_eq!((table.keys(), problems.len()), (vec![(StreamProtocol::Tcp, 2)], 3));
        assert_eq!(problems[0].to_string(), "stream 0/tcp has no port");
    }
}
