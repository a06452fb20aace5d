//! PostgreSQL through a pool of connections.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use deadpool_postgres::{
    Client, GenericClient, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
    Runtime,
};
use futures_util::TryStreamExt as _;
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::connection::{Connection, Numbers, Param, Row, Rows};
use crate::job::Operation;
use crate::{SLOWEST_QUERY, StoreError, migrations};

mod tls;
mod url;

/// Connections of this process: enough for group commit to pay in the server, a third of the 100 that a
/// server allows by default.
pub(crate) const CONNECTIONS: usize = 32;

/// For how long a request waits for a connection, or a connection for the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Statements that one connection may have prepared; beyond it all are forgotten. Queries' texts are made
/// of what clients ask, so there is no end to them.
const STATEMENTS: usize = 256;

/// How often a transaction is begun again because others changed the same documents. Each time at least
/// one of the others got on.
const ATTEMPTS: u32 = 64;

/// A pool, and what is remembered of the database behind it.
pub(crate) struct Postgres {
    pool: Pool,
    numbers: Numbers,
}

impl Postgres {
    /// Connects and brings the layout up to date.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        let url::Server { mut config, root_certificate } = url::parse(url)?;
        // A plan that was kept from when a table was small would read all of it when it has grown: plans
        // are made for each query. Whatever the URL sets comes last, and wins.
        let options = format!(
            "-c statement_timeout={} -c idle_in_transaction_session_timeout=60000 -c jit=off \
             -c plan_cache_mode=force_custom_plan {}",
            SLOWEST_QUERY.as_millis(),
            config.get_options().unwrap_or_default()
        );
        config.options(options.trim_end()).application_name("lode").connect_timeout(PATIENCE);
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if config.get_ssl_mode() == SslMode::Require {
            Manager::from_config(config, tls::Tls::new(root_certificate.as_deref())?, how)
        } else {
            Manager::from_config(config, NoTls, how)
        };
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| StoreError::unavailable("making a pool of connections", e))?;
        let store = Self { pool, numbers: Numbers::default() };
        migrations::postgres(&mut store.client().await?).await?;
        Ok(store)
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let client = self.pool.get().await.map_err(|e| match e {
            PoolError::Backend(e) => failed_while("connecting to PostgreSQL", &e),
            e => StoreError::unavailable("waiting for a connection to PostgreSQL", e),
        })?;
        if client.statement_cache.size() > STATEMENTS {
            client.statement_cache.clear();
        }
        Ok(client)
    }

    /// A connection outside the pool, whose statements may take as long as they need.
    pub(crate) async fn patient_client(
        &self,
    ) -> Result<deadpool_postgres::ClientWrapper, StoreError> {
        let client = Object::take(self.client().await?);
        client.batch_execute("SET statement_timeout = 0").await.map_err(|e| failed(&e))?;
        Ok(client)
    }

    /// What is remembered of collections' numbers.
    pub(crate) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Runs an operation whose statements are transactions of their own.
    pub(crate) async fn direct<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        let client = self.client().await?;
        operation(&arguments, &Connection::Postgres(&client, &self.numbers)).await
    }

    /// Runs an operation in a transaction, and again when it lost a race.
    pub(crate) async fn write<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        for attempt in 0..ATTEMPTS {
            let mut client = self.client().await?;
            let transaction = client.transaction().await.map_err(|e| failed(&e))?;
            let outcome =
                operation(&arguments, &Connection::PostgresTransaction(&transaction)).await;
            let outcome = match outcome {
                Ok(value) => transaction.commit().await.map(|()| value).map_err(|e| failed(&e)),
                Err(error) => {
                    // A connection that cannot even do this is found closed when it is next taken.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            };
            match outcome {
                Err(StoreError::Contended) => {
                    drop(client);
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt.min(20)))).await;
                }
                outcome => return outcome,
            }
        }
        Err(StoreError::Contended)
    }
}

pub(crate) async fn rows<C: GenericClient, T: Send>(
    client: &C,
    sql: &str,
    params: &[Param],
    most_bytes: usize,
    mut map: impl FnMut(&Row<'_>) -> Result<(T, usize), StoreError> + Send,
) -> Result<Rows<T>, StoreError> {
    let statement = client.prepare_cached(sql).await.map_err(|e| failed(&e))?;
    let found = client.query_raw(&statement, lend(params)).await.map_err(|e| failed(&e))?;
    let mut found = pin!(found);
    let mut rows = Rows::new(most_bytes);
    while let Some(row) = found.try_next().await.map_err(|e| failed(&e))? {
        if !rows.add(map(&Row::Postgres(&row))?) {
            break;
        }
    }
    Ok(rows)
}

pub(crate) async fn execute<C: GenericClient>(
    client: &C,
    sql: &str,
    params: &[Param],
) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(sql).await.map_err(|e| failed(&e))?;
    client.execute(&statement, &lend(params)).await.map_err(|e| failed(&e))
}

fn lend(params: &[Param]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

pub(crate) fn failed(error: &tokio_postgres::Error) -> StoreError {
    failed_while("postgresql", error)
}

/// Who is to blame for what PostgreSQL says.
pub(crate) fn failed_while(doing: &str, error: &tokio_postgres::Error) -> StoreError {
    let Some(code) = error.code() else {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        return StoreError::Unavailable(format!("{doing}: {error}{cause}"));
    };
    match *code {
        // Whoever ran the statement knows the id.
        SqlState::UNIQUE_VIOLATION => StoreError::Duplicate { id: String::new() },
        SqlState::QUERY_CANCELED => StoreError::TooSlow,
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => StoreError::Contended,
        SqlState::PROGRAM_LIMIT_EXCEEDED => {
            StoreError::Invalid("the value of an indexed field is too long".into())
        }
        // Class 22 is "data exception": a value that the database's types cannot hold.
        ref code if code.code().starts_with("22") => {
            tracing::debug!(%error, "a request's value was refused");
            StoreError::Invalid("the database cannot work with a value of this request".into())
        }
        _ => {
            let detail = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
            StoreError::Unavailable(format!("{doing}: {detail}"))
        }
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql_checked(ty, out),
            Self::Rendered(param) => param.to_sql_checked(ty, out),
            Self::Text(text) => {
                if *ty == Type::JSONB {
                    // The version of JSONB's text form.
                    out.put_u8(1);
                }
                out.put_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            Self::Bytes(bytes) => bytes.to_sql_checked(ty, out),
            Self::Texts(texts) => texts.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// JSON or JSONB as text, not copied.
pub(crate) struct JsonText<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        if *ty == Type::JSONB {
            match raw.split_first() {
                Some((1, text)) => Ok(Self(text)),
                _ => Err("an unknown version of JSONB".into()),
            }
        } else {
            Ok(Self(raw))
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::JSONB | Type::TEXT)
    }
}
