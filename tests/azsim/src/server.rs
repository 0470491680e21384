//! The listeners: proxy, TLS, control, identity, IMDS, Azure Arc. Bound before anything is served, so that their ports are known.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use hyper::{Request, body::Incoming, header::HOST};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    azure::{Azure, GRAPH_HOST, LOGIN_HOST, MANAGEMENT_HOST},
    control, graph,
    http::{Reply, serve},
    identity, key_vault, machines, oidc, proxy, resource_manager,
    world::MachineKind,
};

const HANDSHAKE: Duration = Duration::from_secs(5);

/// Loopback ports; 0 lets the system choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    pub proxy: u16,
    pub tls: u16,
    pub control: u16,
    pub identity: u16,
    pub imds: u16,
    pub arc: u16,
}

/// Where they listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) proxy: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) identity: SocketAddr,
    pub(crate) imds: SocketAddr,
    pub(crate) arc: SocketAddr,
}

pub(crate) struct Listeners {
    proxy: StdListener,
    tls: StdListener,
    control: StdListener,
    identity: StdListener,
    imds: StdListener,
    arc: StdListener,
}

impl Listeners {
    pub(crate) fn bind(ports: Ports) -> anyhow::Result<Self> {
        Ok(Self {
            proxy: bind(ports.proxy)?,
            tls: bind(ports.tls)?,
            control: bind(ports.control)?,
            identity: bind(ports.identity)?,
            imds: bind(ports.imds)?,
            arc: bind(ports.arc)?,
        })
    }

    pub(crate) fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            proxy: self.proxy.local_addr()?,
            tls: self.tls.local_addr()?,
            control: self.control.local_addr()?,
            identity: self.identity.local_addr()?,
            imds: self.imds.local_addr()?,
            arc: self.arc.local_addr()?,
        })
    }

    pub(crate) async fn serve(self, azure: Arc<Azure>, tls: Arc<ServerConfig>) {
        let acceptor = TlsAcceptor::from(tls);
        let (azure_1, acceptor_1) = (Arc::clone(&azure), acceptor.clone());
        let proxy = accept(self.proxy, move |stream| {
            let (azure, acceptor) = (Arc::clone(&azure_1), acceptor_1.clone());
            async move {
                if let Ok(Some(tunnel)) = proxy::accept(&azure, stream).await {
                    serve_tls(azure, &acceptor, tunnel).await;
                }
            }
        });
        let azure_2 = Arc::clone(&azure);
        let tls = accept(self.tls, move |stream| {
            let (azure, acceptor) = (Arc::clone(&azure_2), acceptor.clone());
            async move { serve_tls(azure, &acceptor, stream).await }
        });
        let azure_3 = Arc::clone(&azure);
        let identity = accept(self.identity, move |stream| {
            let azure = Arc::clone(&azure_3);
            serve(stream, move |request| identity::answer(Arc::clone(&azure), request))
        });
        let imds = serve_machines(&azure, self.imds, MachineKind::VirtualMachine);
        let arc = serve_machines(&azure, self.arc, MachineKind::Arc);
        let router = control::router(azure);
        let control = accept(self.control, move |stream| control::serve(stream, router.clone()));
        tokio::join!(proxy, tls, identity, imds, arc, control);
    }
}

fn serve_machines(
    azure: &Arc<Azure>,
    listener: StdListener,
    kind: MachineKind,
) -> impl Future<Output = ()> + use<> {
    let azure = Arc::clone(azure);
    accept(listener, move |stream| {
        let azure = Arc::clone(&azure);
        serve(stream, move |request| machines::answer(Arc::clone(&azure), kind, request))
    })
}

fn bind(port: u16) -> anyhow::Result<StdListener> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn accept<F>(listener: StdListener, handle: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it small answers wait for the client's delayed acknowledgement.
                drop(stream.set_nodelay(true));
                tokio::spawn(handle(stream));
            }
            // Out of file descriptors: breathe instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn serve_tls<S>(azure: Arc<Azure>, acceptor: &TlsAcceptor, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
        serve(stream, move |request| dispatch(Arc::clone(&azure), request)).await;
    }
}

/// By host name: the `Host` header of HTTP/1.1, the authority of h2.
async fn dispatch(azure: Arc<Azure>, request: Request<Incoming>) -> Reply {
    let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(hyper::http::uri::Authority::as_str);
    let host = authority.or_else(header).unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    match host.as_str() {
        LOGIN_HOST => oidc::answer(azure, request).await,
        GRAPH_HOST => Ok(graph::answer().whole()),
        MANAGEMENT_HOST => resource_manager::answer(azure, request).await,
        _ => key_vault::answer(azure, host, request).await,
    }
}
