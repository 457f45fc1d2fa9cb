//! The same statements for pgbench. They are not written down a second time: Postgres says which ones our code has
//! sent for one job, and with which values.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::PgPool;

/// Ends of statements whose row tells the ones behind them what to work on: job and deployment, and the node.
const ANSWERS: [&str; 2] = ["for update skip locked", "for update of agents"];

/// What one client of pgbench repeats: a claim and a completion.
pub(crate) struct Script(tempfile::NamedTempFile);

impl Script {
    /// Lets our code do one job, and takes down what it sent.
    pub(crate) async fn record(pool: &PgPool, log: &Path) -> Result<Self> {
        // A pool of one connection, on which alone statements are logged.
        let options = pool.connect_options().as_ref().clone().options([("log_statement", "all")]);
        let one = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        drop(one.acquire().await?);
        let before = std::fs::read_to_string(log)?.len();
        let claimed = super::one_job(&one).await?.context("no job was claimed")?;
        let deployment: uuid::Uuid = sqlx::query_scalar("select deployment_id from jobs where id = $1")
            .bind(claimed.id)
            .fetch_one(pool)
            .await?;
        one.close().await;
        // The log is written by another process.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let text = std::fs::read_to_string(log)?;
        let values = [
            (claimed.id.to_string(), ":id"),
            (deployment.to_string(), ":deployment_id"),
            (claimed.node.to_string(), ":node_id"),
        ];
        let statements = statements(&text[before..]);
        ensure!(statements.len() > 10, "the log of Postgres tells of {} statements", statements.len());
        let mut file = tempfile::NamedTempFile::new()?;
        for statement in &statements {
            file.write_all(statement.for_pgbench(&values).as_bytes())?;
        }
        Ok(Self(file))
    }

    /// Transactions per second, that is jobs.
    pub(crate) async fn run(&self, url: &str, clients: u32, jobs: u32) -> Result<f64> {
        let output = tokio::process::Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared"])
            .arg(format!("--client={clients}"))
            .arg(format!("--jobs={}", clients.min(2)))
            .arg(format!("--transactions={}", jobs / clients))
            .arg("--file")
            .arg(self.0.path())
            .arg(url)
            .output()
            .await
            .context("cannot run pgbench: apt-get install postgresql-contrib")?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && !err.contains("aborted"), "pgbench failed:\n{out}{err}");
        let tps = out.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        Ok(tps.with_context(|| format!("pgbench says no tps:\n{out}"))?.parse()?)
    }
}

/// A statement as Postgres has logged it.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    sql: String,
    /// Literals, in order.
    parameters: Vec<String>,
}

impl Statement {
    fn for_pgbench(&self, values: &[(String, &str)]) -> String {
        // `as "slots!"` tells our compiler something, and is no name for pgbench.
        let mut sql = self.sql.replace("!\"", "\"");
        // From the last, because $1 begins $10.
        for (index, literal) in self.parameters.iter().enumerate().rev() {
            let known = values.iter().find(|(value, _)| *literal == format!("'{value}'"));
            let text = known.map_or(literal.as_str(), |(_, variable)| variable);
            sql = sql.replace(&format!("${}", index + 1), text);
        }
        let answers = ANSWERS.iter().any(|end| self.sql.trim_end().ends_with(end));
        format!("{}\n{}\n", sql.trim_end(), if answers { "\\gset" } else { ";" })
    }
}

/// The statements in a piece of the log, without the check of each connection that is taken from a pool.
fn statements(log: &str) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    let mut into_sql = false;
    for line in log.lines() {
        if let Some((_, text)) = line.split_once("LOG:  execute ") {
            let sql = text.split_once(": ").map_or("", |(_, sql)| sql);
            found.push(Statement { sql: sql.to_owned(), parameters: Vec::new() });
            into_sql = true;
        } else if let Some((_, sql)) = line.split_once("LOG:  statement: ") {
            found.push(Statement { sql: sql.to_owned(), parameters: Vec::new() });
            into_sql = true;
        } else if let Some((_, text)) = line.split_once("DETAIL:  ") {
            if let (Some((_, list)), Some(last)) = (text.split_once("arameters: "), found.last_mut()) {
                last.parameters = parameters(list);
            }
            into_sql = false;
        } else if let (true, Some(rest), Some(last)) = (into_sql, line.strip_prefix('\t'), found.last_mut()) {
            last.sql.push('\n');
            last.sql.push_str(rest);
        }
    }
    found.retain(|statement| !statement.sql.is_empty());
    found
}

/// `$1 = 'a', $2 = NULL` as literals.
fn parameters(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = list;
    while let Some((_, value)) = rest.split_once(" = ") {
        let end =
            if value.starts_with('\'') { quoted(value) } else { value.find(',').unwrap_or(value.len()) };
        found.push(value[..end].to_owned());
        rest = &value[end..];
    }
    found
}

/// Length of the quoted literal at the beginning of `text`.
fn quoted(text: &str) -> usize {
    let mut at = 1;
    while let Some(next) = text[at..].find('\'') {
        at += next + 1;
        // Two are one within the text.
        if !text[at..].starts_with('\'') {
            return at;
        }
        at += 1;
    }
    text.len()
}
