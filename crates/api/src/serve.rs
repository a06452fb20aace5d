//! Listening, and ending in good order.

use std::future::Future;
use std::io;

use tokio::net::TcpListener;

use crate::api::Api;
use crate::{schedule, tasks};

impl Api {
    /// Serves connections until `stop` is ready, then takes no more and comes back when those under way are
    /// answered. Asynchronous runs and scheduled endpoints begin as long.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(
        &self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let schedules = tokio::spawn(schedule::run(self.clone()));
        let claims = tokio::spawn(tasks::claim(self.clone()));
        let holds = tokio::spawn(tasks::hold(self.clone()));
        // Small answers are to leave at once (Nagle's algorithm waits for more).
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(stop).await;
        schedules.abort();
        claims.abort();
        tasks::finished(self).await;
        holds.abort();
        served
    }
}
