//! Links, addresses and routes, through netlink.

use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{AddressMessageBuilder, Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};

/// Why the network could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    #[error("cannot {what}")]
    Change {
        what: String,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("there is no link {0}")]
    NoLink(String),
    #[error("cannot enter network namespace {0}")]
    Enter(String, #[source] std::io::Error),
}

const EEXIST: i32 = 17;

/// Runs `work` with a netlink connection of the calling thread's network namespace.
pub async fn with_netlink<T, F>(work: impl FnOnce(Links) -> F) -> Result<T, NetlinkError>
where
    F: Future<Output = Result<T, NetlinkError>>,
{
    let (connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Open)?;
    tokio::select! {
        done = work(Links(handle)) => done,
        () = connection => Err(NetlinkError::Open(std::io::ErrorKind::BrokenPipe.into())),
    }
}

/// Runs `work` on a thread of its own inside the network namespace at `path`.
pub fn in_namespace<T, F>(path: &Path, work: impl FnOnce(Links) -> F + Send) -> Result<T, NetlinkError>
where
    T: Send,
    F: Future<Output = Result<T, NetlinkError>>,
{
    let failed = |error| NetlinkError::Enter(path.display().to_string(), error);
    let enter_and_work = || {
        let namespace = std::fs::File::open(path).map_err(failed)?;
        nix::sched::setns(namespace.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET)
            .map_err(|errno| failed(errno.into()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(NetlinkError::Open)?;
        runtime.block_on(with_netlink(work))
    };
    std::thread::scope(|scope| {
        scope.spawn(enter_and_work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The packet size for pods: what every link out of this machine carries; 1500 if there is none.
pub async fn default_mtu() -> u32 {
    const ETHERNET: u32 = 1500;
    with_netlink(|links| async move { Ok(links.smallest_mtu().await) }).await.ok().flatten().unwrap_or(ETHERNET)
}

/// Changes to links, each safe to repeat.
pub struct Links(Handle);

impl Links {
    pub async fn index(&self, name: &str) -> Result<Option<u32>, NetlinkError> {
        let mut found = self.0.link().get().match_name(name.to_owned()).execute();
        match found.try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -nix::libc::ENODEV => Ok(None),
            Err(source) => Err(NetlinkError::Change { what: format!("look up link {name}"), source }),
        }
    }

    async fn must_have(&self, name: &str) -> Result<u32, NetlinkError> {
        self.index(name).await?.ok_or_else(|| NetlinkError::NoLink(name.into()))
    }

    /// Makes a bridge that is up, and says its index.
    pub async fn ensure_bridge(&self, name: &str, mtu: u32) -> Result<u32, NetlinkError> {
        if let Some(index) = self.index(name).await? {
            self.up(index, name).await?;
            return Ok(index);
        }
        let made = self.0.link().add(LinkBridge::new(name).mtu(mtu).up().build()).execute().await;
        allow_existing(made, || format!("make bridge {name}"))?;
        self.must_have(name).await
    }

    /// Makes a pair of links, the second in the namespace at `netns`, and attaches the first to the bridge.
    ///
    /// Frames may leave through the port they came from (hairpin): a pod reaches itself through its service.
    pub async fn attach_pair(
        &self,
        host: &str,
        peer: &str,
        netns: &Path,
        bridge: u32,
        mtu: u32,
    ) -> Result<(), NetlinkError> {
        let failed = |error| NetlinkError::Enter(netns.display().to_string(), error);
        let namespace = std::fs::File::open(netns).map_err(failed)?;
        let pair = LinkVeth::new(host, peer).mtu(mtu).build();
        allow_existing(self.0.link().add(pair).execute().await, || format!("make link {host}"))?;
        let index = self.must_have(host).await?;
        let moved = LinkUnspec::new_with_name(peer).mtu(mtu).setns_by_fd(namespace.as_raw_fd()).build();
        self.set(moved, || format!("move link {peer} into the pod")).await?;
        let attached = LinkUnspec::new_with_index(index).controller(bridge).up().build();
        self.set(attached, || format!("attach link {host} to the bridge")).await?;
        // The kernel reads a port's settings in this kind of message alone.
        let hairpin = self.0.link().set_port(LinkBridgePort::new(index).hairpin(true).build()).execute().await;
        hairpin.map_err(|source| NetlinkError::Change { what: format!("let link {host} hairpin"), source })
    }

    /// Gives the link `from` its final name, an address, and, through `gateway`, the way to everywhere.
    pub async fn configure(
        &self,
        from: &str,
        name: &str,
        address: Ipv4Net,
        gateway: Ipv4Addr,
    ) -> Result<(), NetlinkError> {
        let index = self.must_have(from).await?;
        let renamed = LinkUnspec::new_with_index(index).name(name.to_owned()).up().build();
        self.set(renamed, || format!("name link {name}")).await?;
        self.add_address(index, address).await?;
        let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        allow_existing(self.0.route().add(default).execute().await, || format!("route through {gateway}"))
    }

    pub async fn add_address(&self, link: u32, address: Ipv4Net) -> Result<(), NetlinkError> {
        let message =
            AddressMessageBuilder::<Ipv4Addr>::new().index(link).address(address.addr(), address.prefix_len()).build();
        let prefix = address.prefix_len();
        let mut request = self.0.address().add(link, address.addr().into(), prefix);
        request.message_mut().header = message.header;
        allow_existing(request.execute().await, || format!("add address {address}"))
    }

    /// Sends `to` out through `link`, with the address `source` on what this machine sends itself.
    pub async fn route_on_link(&self, to: Ipv4Net, link: u32, source: Ipv4Addr) -> Result<(), NetlinkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to.network(), to.prefix_len())
            .output_interface(link)
            .pref_source(source)
            .scope(RouteScope::Link)
            .build();
        allow_existing(self.0.route().add(route).execute().await, || format!("route {to} on this machine"))
    }

    pub async fn up(&self, link: u32, name: &str) -> Result<(), NetlinkError> {
        self.set(LinkUnspec::new_with_index(link).up().build(), || format!("bring up link {name}")).await
    }

    /// Takes a link away; one that is gone already is fine.
    pub async fn remove(&self, name: &str) -> Result<(), NetlinkError> {
        let Some(index) = self.index(name).await? else { return Ok(()) };
        let removed = self.0.link().del(index).execute().await;
        removed.map_err(|source| NetlinkError::Change { what: format!("remove link {name}"), source })
    }

    /// The smallest packet size of the links that lead out of this machine.
    async fn smallest_mtu(&self) -> Option<u32> {
        let mut smallest = None;
        let mut links = self.0.link().get().execute();
        while let Ok(Some(link)) = links.try_next().await {
            let flags = link.header.flags;
            let outward = flags.contains(LinkFlags::LowerUp) && !flags.contains(LinkFlags::Loopback);
            for attribute in link.attributes.iter().filter(|_| outward) {
                if let LinkAttribute::Mtu(mtu) = attribute {
                    smallest = Some(smallest.unwrap_or(*mtu).min(*mtu));
                }
            }
        }
        smallest
    }

    async fn set(&self, message: LinkMessage, what: impl FnOnce() -> String) -> Result<(), NetlinkError> {
        self.0.link().set(message).execute().await.map_err(|source| NetlinkError::Change { what: what(), source })
    }
}

fn allow_existing(done: Result<(), rtnetlink::Error>, what: impl FnOnce() -> String) -> Result<(), NetlinkError> {
    match done {
        Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -EEXIST => Ok(()),
        done => done.map_err(|source| NetlinkError::Change { what: what(), source }),
    }
}
