//! Readers: a few cloned connections. Each request is one read-only transaction with a deadline and a row cap.
//! A request whose caller goes away is stopped too.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use duckdb::{Connection, InterruptHandle, Params, Row, params};
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::pending::Pending;
use super::values::id_list;
use super::writer::Shared;

/// How often a query past its deadline is told again to stop: it may not have begun when first told.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(20);

/// An open read.
pub struct Read<'c> {
    connection: &'c Connection,
    row_cap: usize,
    /// In a write: what has to be written before anything is read.
    pending: Option<&'c RefCell<Pending>>,
}

impl<'c> Read<'c> {
    pub(super) fn new(connection: &'c Connection, row_cap: usize) -> Self {
        Self { connection, row_cap, pending: None }
    }

    /// What a write asks; it sees all that the write did.
    pub(super) fn within(connection: &'c Connection, pending: &'c RefCell<Pending>) -> Self {
        Self { connection, row_cap: usize::MAX, pending: Some(pending) }
    }

    /// Writes what waits to be written.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        self.pending.map_or(Ok(()), |pending| pending.borrow_mut().write(self.connection))
    }

    /// The connection, inside its transaction.
    #[must_use]
    pub fn connection(&self) -> &'c Connection {
        if let (Err(error), Some(pending)) = (self.settle(), self.pending) {
            pending.borrow_mut().fail(error);
        }
        self.connection
    }

    /// The same without a cap: for what looks at everything.
    pub(super) fn uncapped(&self) -> Self {
        Self { row_cap: usize::MAX, ..*self }
    }

    /// Every row, mapped.
    ///
    /// # Errors
    /// [`StoreError::TooManyRows`] beyond the row cap, else what the database or `map` says.
    pub fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.settle()?;
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            if found.len() >= self.row_cap {
                return Err(StoreError::TooManyRows);
            }
            found.push(map(row)?);
        }
        Ok(found)
    }

    /// Rows with these numbers: `sql` has the column's name in braces where it asks for them. One alone, which is what an
    /// effect asks for, is planned in half the time.
    ///
    /// # Errors
    /// What the database or `map` says, and [`StoreError::TooManyRows`] beyond the cap.
    pub(super) fn of_ids<T>(
        &self,
        (column, sql): (&str, &str),
        ids: impl Iterator<Item = i64>,
        map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let ids: Vec<i64> = ids.collect();
        let (Some(first), Some(last)) = (ids.iter().min().copied(), ids.iter().max().copied()) else {
            return Ok(Vec::new());
        };
        let place = format!("{{{column}}}");
        if first == last {
            return self.rows(&sql.replace(&place, &format!("{column} = ?")), params![first], map);
        }
        let these = format!("{column} BETWEEN ? AND ? AND {column} IN (SELECT unnest(CAST(? AS BIGINT[])))");
        self.rows(&sql.replace(&place, &these), params![first, last, id_list(ids)], map)
    }

    /// The first row, mapped, if there is one.
    ///
    /// # Errors
    /// What the database or `map` says.
    pub fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.settle()?;
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(map).transpose()
    }

    /// Runs a statement and says how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        self.settle()?;
        Ok(self.connection.execute(sql, params)?)
    }
}

/// Connections for reading, so many requests at a time.
#[derive(Debug)]
pub(super) struct ReaderPool {
    idle: Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    deadline: Duration,
}

/// Where a request stands. An interrupt goes out only while the request has the connection: later it would hit
/// whoever has it next.
#[derive(Debug, Default)]
struct Phase {
    is_stopped: bool,
    is_finished: bool,
}

/// Stops the query when its deadline passes or its caller goes away.
struct Stop {
    handle: Arc<InterruptHandle>,
    phase: Arc<Mutex<Phase>>,
}

impl Stop {
    fn stop(&self) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        phase.is_stopped = true;
        if !phase.is_finished {
            self.handle.interrupt();
        }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection on loan; it comes back without an open transaction, whatever happened.
struct Lease {
    pool: Arc<ReaderPool>,
    connection: Option<Connection>,
    phase: Arc<Mutex<Phase>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).is_finished = true;
        let Some(connection) = self.connection.take() else { return };
        // A transaction that failed wants to be ended. Where none is open this is an error that says so: nothing is
        // lost either way, and DuckDB's binding does not tell which it is.
        drop(connection.execute_batch("ROLLBACK"));
        if !self.pool.room.is_closed() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl ReaderPool {
    pub(super) fn new(connections: Vec<Connection>, shared: Arc<Shared>, deadline: Duration) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(connections.len()));
        Arc::new(Self { idle: Mutex::new(connections), room, shared, deadline })
    }

    pub(super) async fn run<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_within(self.deadline, work).await
    }

    /// The same with a deadline of its own.
    pub(super) async fn run_within<T, F>(
        self: &Arc<Self>,
        deadline: Duration,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = tokio::time::timeout(deadline, Arc::clone(&self.room).acquire_owned())
            .await
            .map_err(|_| StoreError::Timeout)?
            .map_err(|_| StoreError::Closed)?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = connection.ok_or(StoreError::Closed)?;
        let handle = connection.interrupt_handle();
        let phase = Arc::new(Mutex::new(Phase::default()));
        let lease = Lease { pool: Arc::clone(self), connection: Some(connection), phase: Arc::clone(&phase) };
        let stop = Stop { handle, phase: Arc::clone(&phase) };
        let row_cap = self.shared.row_cap;
        let mut task = tokio::task::spawn_blocking(move || {
            let is_stopped = phase.lock().unwrap_or_else(PoisonError::into_inner).is_stopped;
            let result = match &lease.connection {
                Some(connection) if !is_stopped => in_transaction(connection, row_cap, work),
                _ => Err(StoreError::Timeout),
            };
            drop(lease);
            drop(permit);
            result
        });
        let joined = match tokio::time::timeout(deadline, &mut task).await {
            Ok(joined) => joined,
            Err(_) => loop {
                stop.stop();
                if let Ok(joined) = tokio::time::timeout(INTERRUPT_INTERVAL, &mut task).await {
                    break joined;
                }
            },
        };
        let result = joined
            .map_err(|error| StoreError::Invalid(format!("A query failed inside this program: {error}")))?;
        if let Err(error) = &result {
            self.shared.note(error);
        }
        result
    }

    /// Drops the connections; requests after this are refused.
    pub(super) fn close(&self) {
        self.room.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn in_transaction<T>(
    connection: &Connection,
    row_cap: usize,
    work: impl FnOnce(&Read<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
    let value = work(&Read::new(connection, row_cap))?;
    connection.execute_batch("COMMIT")?;
    Ok(value)
}
