//! A load balancer: connections in, the next replica that is ready out.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// How often `/readyz` is asked.
const PROBE_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone)]
struct Target {
    url: String,
    ready: bool,
}

pub struct Balancer {
    pub url: String,
    targets: Arc<Mutex<[Target; 2]>>,
}

impl Balancer {
    /// In front of two replicas, both ready.
    pub async fn start(urls: [&str; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let targets = urls.map(|url| Target { url: url.to_owned(), ready: true });
        let targets = Arc::new(Mutex::new(targets));
        tokio::spawn(probe(Arc::clone(&targets)));
        let (known, turn) = (Arc::clone(&targets), AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (first, ready) = (turn.fetch_add(1, Ordering::Relaxed), known.lock().unwrap());
                let mut order = (0..2).map(|next| &ready[(first + next) % 2]);
                let target = order.find(|target| target.ready).map(|target| target.url.clone());
                drop(ready);
                tokio::spawn(relay(near, target));
            }
        });
        Self { url, targets }
    }

    /// Another replica in the place of one that has ended.
    pub fn replace(&self, slot: usize, url: &str) {
        self.targets.lock().unwrap()[slot] = Target { url: url.to_owned(), ready: false };
    }

    pub async fn all_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.targets.lock().unwrap().iter().all(|target| target.ready) {
            assert!(Instant::now() < deadline, "a replica does not become ready");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Where nobody is ready the connection just ends, which its client sees.
async fn relay(mut near: TcpStream, target: Option<String>) -> Option<()> {
    let mut far = TcpStream::connect(target?.trim_start_matches("http://")).await.ok()?;
    copy_bidirectional(&mut near, &mut far).await.ok().map(drop)
}

async fn probe(targets: Arc<Mutex<[Target; 2]>>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        for slot in 0..2 {
            let url = targets.lock().unwrap()[slot].url.clone();
            let answer = client.get(format!("{url}/readyz")).send().await;
            let ready = answer.is_ok_and(|answer| answer.status().is_success());
            let mut targets = targets.lock().unwrap();
            // It may have been replaced meanwhile.
            if targets[slot].url == url {
                targets[slot].ready = ready;
            }
        }
        sleep(PROBE_EVERY).await;
    }
}
