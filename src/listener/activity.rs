//! What a connection is doing, seen from its two ends: bytes at the socket, requests at the router.
//! From that follows how long it may go on doing it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, http::Version};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{Limits, line_ends::LineEnds};

#[derive(Debug)]
pub(super) struct Activity {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    requests: usize,
    http2: bool,
    leaving: bool,
    line_ends: LineEnds,
    /// Since when the peer has taken nothing of what is to be sent.
    blocked: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request yet. Bytes that trickle in do not prolong this.
    Fresh,
    /// Headers of a further request have begun to arrive.
    Reading,
    /// Between two requests.
    Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// Nothing is lost when the connection says goodbye and ends.
    Idle,
    /// The peer does not do its part: nothing to wait for.
    Stuck,
}

impl Activity {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            phase: Phase::Fresh,
            since: Instant::now(),
            requests: 0,
            http2: false,
            leaving: false,
            line_ends: LineEnds::default(),
            blocked: None,
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// Waits until the connection has been in one phase for too long.
    pub(super) async fn expired(&self) -> Expired {
        let tick = self.limits.header_read_timeout / 10;
        let tick = tick.clamp(Duration::from_millis(5), Duration::from_secs(1));
        loop {
            tokio::time::sleep(tick).await;
            if let Some(expired) = self.verdict(Instant::now()) {
                return expired;
            }
        }
    }

    fn verdict(&self, now: Instant) -> Option<Expired> {
        let state = self.lock();
        let longer_than = |since: Instant, limit| now.duration_since(since) >= limit;
        if state.blocked.is_some_and(|since| longer_than(since, self.limits.write_timeout)) {
            return Some(Expired::Stuck);
        }
        let (limit, verdict) = match state.phase {
            _ if state.requests > 0 => return None,
            Phase::Idle if !state.leaving => (self.limits.keep_alive, Expired::Idle),
            Phase::Fresh | Phase::Reading | Phase::Idle => {
                (self.limits.header_read_timeout, Expired::Stuck)
            }
        };
        longer_than(state.since, limit).then_some(verdict)
    }

    /// The connection has been told to end: it gets one more period to do so.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.leaving = true;
        state.since = Instant::now();
    }

    /// Says whether the connection may go on.
    fn received(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        if bytes.is_empty() || state.requests > 0 || state.http2 {
            // Over HTTP/2 bytes arrive between requests too: answers to pings, window updates.
            return true;
        }
        if state.phase == Phase::Idle {
            state.phase = Phase::Reading;
            state.since = Instant::now();
            state.line_ends = LineEnds::default();
        }
        state.line_ends.admit(bytes)
    }

    /// A request's headers are complete. It is over when the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, version: Version) -> InFlight {
        let mut state = self.lock();
        state.requests += 1;
        state.http2 = version == Version::HTTP_2;
        InFlight(Arc::clone(self))
    }

    fn sent<T>(&self, progress: &Poll<T>) {
        let mut state = self.lock();
        state.blocked = match progress {
            Poll::Pending => state.blocked.or_else(|| Some(Instant::now())),
            Poll::Ready(_) => None,
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.phase = Phase::Idle;
        state.since = Instant::now();
    }
}

/// A socket that reports what passes through it.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.activity.received(&buffer.filled()[before..]) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.sent(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An answer's body, whose end is the end of its request.
pub(super) struct Answer {
    pub(super) body: Body,
    #[expect(dead_code, reason = "held for its end")]
    pub(super) in_flight: InFlight,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
