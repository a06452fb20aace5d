//! One suite for both databases: each case is a test on SQLite, and all of them run, one after another,
//! against a real PostgreSQL server.

use std::pin::Pin;

use lode_store::{AppRecord, Document, Filter, Place, Query, Store};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

mod apps;
mod cluster;
mod concurrent;
mod elements;
mod entities;
mod indexes;
mod kept;
mod members;
mod modify;
mod sqlite_only;
mod tasks;
mod tls;
mod users;

/// An empty database with an app `kid_a`.
struct Fixture {
    store: Store,
    url: String,
    // SQLite's directory, which goes with the test.
    _directory: Option<tempfile::TempDir>,
}

const APP: &str = "kid_a";
const ORDERS: Place<'static> = Place { app: APP, collection: "orders" };

impl Fixture {
    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().display());
        Self::open(url, Some(directory)).await
    }

    async fn open(url: String, directory: Option<tempfile::TempDir>) -> Self {
        let store = Store::open(&url).await.expect("an open store");
        store.create_app(&app(APP)).await.expect("an app");
        Self { store, url, _directory: directory }
    }

    fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    async fn insert(&self, at: Place<'_>, document: Value) {
        self.store.insert(at, vec![doc(document)]).await.expect("an insert");
    }

    async fn ids(&self, at: Place<'_>, filter: Value) -> Vec<String> {
        let query = Query { filter: filter_of(filter), ..Query::default() };
        self.store.ids(at, &query).await.expect("ids")
    }

    async fn find(&self, at: Place<'_>, query: &Query) -> Vec<Document> {
        let found = self.store.find(at, query).await.expect("a find");
        found.iter().map(|d| serde_json::from_str(d.get()).expect("a document")).collect()
    }
}

fn app(key: &str) -> AppRecord {
    AppRecord {
        key: key.to_owned(),
        name: format!("the app {key}"),
        app_secret_hash: [1; 32],
        master_secret_hash: [2; 32],
        settings: json!({ "quota": 3 }),
        scheduled: false,
        active: None,
        created_ms: 1_700_000_000_000,
    }
}

fn doc(value: Value) -> Document {
    match value {
        Value::Object(document) => document,
        other => panic!("not a document: {other}"),
    }
}

fn filter_of(value: Value) -> Filter {
    Filter::parse(&value).expect("a filter")
}

/// Runs statements on a database that no store has open.
async fn batch(url: &str, sql: &str) {
    if let Some(directory) = url.strip_prefix("sqlite:") {
        let database = rusqlite::Connection::open(format!("{directory}/lode.db"));
        database.expect("the database").execute_batch(sql).expect("statements");
    } else {
        let client = cluster::connect(url).await.expect("a connection");
        client.batch_execute(sql).await.expect("statements");
    }
}

type Case = fn(Fixture) -> Pin<Box<dyn Future<Output = ()> + Send>>;

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// One function for all of them: compiled for each, a runtime takes longer than all cases.
fn on_sqlite(case: Case) {
    runtime().block_on(async { case(Fixture::sqlite().await).await });
}

macro_rules! suite {
    ($($module:ident: $($case:ident),+;)+) => {
        mod sqlite {
            $(mod $module {
                $(#[test]
                fn $case() {
                    crate::on_sqlite(|fixture| Box::pin(crate::$module::$case(fixture)));
                })+
            })+
        }

        const CASES: &[(&str, Case)] = &[
            $($((
                concat!(stringify!($module), "::", stringify!($case)),
                |fixture| Box::pin($module::$case(fixture)),
            ),)+)+
        ];
    };
}

suite! {
    entities: stored_and_read_back, duplicates_insert_nothing, ids_and_documents_that_cannot_be_stored,
        numbers_come_back_exactly, apps_do_not_see_each_other, a_collection_is_dropped_with_all_of_it,
        removed_ids_are_remembered, without_an_app_nothing_is_stored, query_with_order_page_and_fields,
        unknown_collections_read_as_empty, distinct_values_and_groups, what_is_found_is_bounded_in_bytes,
        groups_are_bounded_by_what_they_answer, distinct_values_of_one_document_are_bounded,
        removals_are_told_up_to_a_number, removals_are_told_to_those_who_could_read,
        removals_of_an_older_layout_are_told_to_the_owner_only, a_collection_is_found_by_its_name;
    modify: change_reads_decides_and_writes, update_one_many_and_upsert, remove_one_and_all,
        find_and_modify_answers_before_or_after, the_id_cannot_be_changed, more_than_a_page,
        pages_end_at_their_bytes, what_was_found_is_looked_at_again_before_it_is_written;
    elements: the_one_that_matched_is_changed_in_each_document, those_a_filter_names_are_changed,
        an_upsert_has_none_that_matched, each_asker_takes_another;
    concurrent: no_update_is_lost, each_finds_another, a_failing_write_takes_no_other_along,
        upserts_insert_once, changes_that_insert_collide, numbers_of_deployments,
        changes_of_an_app_undo_no_deployment;
    apps: made_saved_and_deleted, deployments_are_numbered_and_activated, deleting_leaves_nothing_behind,
        a_newer_database_is_refused, opened_by_many_at_once;
    users: credentials, an_id_that_is_taken_changes_no_credential, sessions,
        a_user_and_the_credential_change_together,
        a_changed_password_ends_sessions_and_those_about_to_begin;
    kept: only_the_newest_stay;
    members: they_follow_every_write_of_a_group, a_group_of_too_many_is_refused_and_changes_nothing,
        only_an_apps_own_groups_count,
        those_of_an_older_layout_are_found;
    tasks: a_key_names_one_task, one_host_at_a_time_has_a_task,
        what_fails_is_tried_again_and_put_aside, an_app_owes_so_many,
        one_app_does_not_take_all_of_a_host, a_host_is_not_given_again_what_it_is_at,
        tasks_are_listed_without_their_contents;
    indexes: made_listed_and_dropped, the_planner_uses_them, long_values_do_not_break;
}

#[test]
fn postgres() {
    // The data is thrown away: nothing has to reach the disk.
    let mut cluster = cluster::Cluster::start(5432, &["fsync=off"]);
    let runtime = runtime();
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let url = runtime.block_on(cluster.database());
        let outcome = runtime.block_on(async move {
            tokio::spawn(async move { case(Fixture::open(url, None).await).await }).await
        });
        if outcome.is_err() {
            failed.push(name);
        }
    }
    drop(runtime);
    drop(cluster);
    assert!(failed.is_empty(), "on PostgreSQL these failed (see above): {failed:?}");
}
