//! Listening.

use std::future::{Future, IntoFuture};
use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves until `shutdown` completes; then takes no more requests, and waits for the open ones at most `drain_timeout`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    drain_timeout: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ending, ended) = oneshot::channel();
    let served = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        // The receiver waits for as long as this runs.
        let _ = ending.send(());
    });
    let overdue = async {
        let _ = ended.await;
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        result = served.into_future() => result,
        () = overdue => {
            tracing::warn!(?drain_timeout, "requests were still open when the service ended");
            Ok(())
        }
    }
}
