//! Ports that lead to apps past HTTP.

use std::collections::{BTreeSet, HashMap};

use protocol::ids::{AppId, InstanceId};
use protocol::stream::{Stream, StreamOptions, StreamProtocol};

use super::routes::{Served, upstreams};

/// A stream as somebody published it.
#[derive(Debug, Clone)]
pub struct Published {
    pub protocol: StreamProtocol,
    pub port: u16,
    pub app_id: AppId,
    pub options: StreamOptions,
}

/// The streams of the apps that proxies answer for. An app of which nothing serves keeps its ports. Datagrams go to
/// instances alone that are published for them.
pub fn streams(published: Vec<Published>, served: &[Served], udp: &BTreeSet<InstanceId>) -> Vec<Stream> {
    let apps: HashMap<AppId, &Served> = served.iter().map(|served| (served.app_id, served)).collect();
    let stream = |one: Published| {
        let app = apps.get(&one.app_id)?;
        let mut upstreams = upstreams(&app.backends);
        upstreams.retain(|upstream| one.protocol == StreamProtocol::Tcp || udp.contains(&upstream.instance));
        Some(Stream {
            protocol: one.protocol,
            port: one.port,
            app: app.slug.clone(),
            upstreams,
            options: one.options,
        })
    };
    let mut streams: Vec<Stream> = published.into_iter().filter_map(stream).collect();
    streams.sort_by_key(|stream| (stream.port, stream.protocol));
    streams
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use protocol::report::InstanceState;
    use protocol::spec::RouteOptions;

    use super::super::routes::Backend;
    use super::*;

    fn backend(port: u16, state: InstanceState) -> Backend {
        let address = Ipv4Addr::new(10, 50, 0, 2);
        Backend { instance: InstanceId::new(), address, port, state, unreached: false }
    }

    fn published(protocol: StreamProtocol, port: u16, app_id: AppId) -> Published {
        Published { protocol, port, app_id, options: StreamOptions::default() }
    }

    #[test]
    fn a_stream_leads_to_the_instances_that_serve_and_datagrams_to_those_published_for_them() {
        let app = Served {
            app_id: AppId::new(),
            slug: "game".to_owned(),
            stopped: false,
            starting: false,
            options: RouteOptions::default(),
            sites: Vec::new(),
            backends: vec![
                backend(20000, InstanceState::Healthy),
                backend(20001, InstanceState::Healthy),
                backend(20002, InstanceState::Unhealthy),
            ],
        };
        let udp = BTreeSet::from([app.backends[1].instance, app.backends[2].instance]);
        let all = vec![
            published(StreamProtocol::Udp, 30000, app.app_id),
            published(StreamProtocol::Tcp, 30000, app.app_id),
            published(StreamProtocol::Tcp, 25, AppId::new()),
        ];
        let told = streams(all, &[app], &udp);
        let shown: Vec<_> = told
            .iter()
            .map(|stream| {
                let ports = stream.upstreams.iter().map(|upstream| upstream.address.port());
                (stream.port, stream.protocol, ports.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            shown,
            [(30000, StreamProtocol::Tcp, vec![20000, 20001]), (30000, StreamProtocol::Udp, vec![20001])],
            "an app that is not served has none"
        );
    }

    #[test]
    fn an_app_of_which_nothing_serves_keeps_its_port() {
        let app = Served {
            app_id: AppId::new(),
            slug: "db".to_owned(),
            stopped: true,
            starting: false,
            options: RouteOptions::default(),
            sites: Vec::new(),
            backends: Vec::new(),
        };
        let all = vec![published(StreamProtocol::Tcp, 5432, app.app_id)];
        let told = streams(all, &[app], &BTreeSet::new());
        assert_eq!((told.len(), told[0].upstreams.len()), (1, 0));
    }
}
