//! Listening, and ending in good order.

use std::future::Future;

use tokio::net::TcpListener;

use crate::api::Api;
use crate::{connections, schedule, tasks};

impl Api {
    /// Serves connections until `stop` is ready, then takes no more and comes back when those under way are
    /// answered. Asynchronous runs and scheduled endpoints begin as long.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        let schedules = tokio::spawn(schedule::run(self.clone()));
        let claims = tokio::spawn(tasks::claim(self.clone()));
        let holds = tokio::spawn(tasks::hold(self.clone()));
        connections::serve(listener, self.router(), connections::most(), stop).await;
        schedules.abort();
        claims.abort();
        tasks::finished(self).await;
        holds.abort();
    }
}
