//! Runs tests beside one cluster, and speaks like `cargo test`. Tests mostly wait, so several run at once where they
//! can.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use testbed::cluster::{Cluster, Options, host_names};
use testbed::preflight;
use testbed::report::{Progress, tail_from};
use testbed::session::{Session, stopped};
use tokio::task::JoinSet;

use crate::bed::Bed;

/// No test may take longer.
const LIMIT: Duration = Duration::from_mins(3);
/// So many of those that need not be alone run at once.
const AT_ONCE: usize = 4;

/// One test. Modules list theirs with [`tests!`].
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<Bed>) -> BoxFuture<'static, Result<()>>,
    /// No other test may run at the same time.
    pub(crate) alone: bool,
    /// Runs only when it is asked for.
    pub(crate) ignored: bool,
}

/// The same tests, each without another one beside it.
pub(crate) fn alone(tests: &[Test]) -> Vec<Test> {
    tests.iter().map(|test| Test { alone: true, ..*test }).collect()
}

/// The same tests, only for those who ask for them.
pub(crate) fn ignored(tests: &[Test]) -> Vec<Test> {
    tests.iter().map(|test| Test { ignored: true, ..*test }).collect()
}

/// `tests![one, other]`: the functions `async fn one(bed: Arc<Bed>) -> Result<()>` of this module.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::runner::Test] = &[$(crate::runner::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            run: |bed| Box::pin($name(bed)),
            alone: false,
            ignored: false,
        }),*];
    };
}
pub(crate) use tests;

/// The part of `cargo test`'s options that makes sense here.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run tests whose names contain one of these.
    filters: Vec<String>,
    /// Names must be equal.
    #[arg(long)]
    exact: bool,
    /// Leave out tests whose names contain this.
    #[arg(long)]
    skip: Vec<String>,
    /// Run the ignored tests, and no others.
    #[arg(long)]
    ignored: bool,
    /// Run the ignored tests too.
    #[arg(long, conflicts_with = "ignored")]
    include_ignored: bool,
    /// Print the names only.
    #[arg(long)]
    list: bool,
    /// After a failure keep the cluster until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Output is never captured.
    #[arg(long, hide = true)]
    nocapture: bool,
    /// 1 makes all tests run one after the other.
    #[arg(long)]
    test_threads: Option<usize>,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        let name = short(name);
        let matches =
            |pattern: &String| if self.exact { name == pattern } else { name.contains(pattern.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skip.iter().any(|pattern| name.contains(pattern.as_str()))
    }

    /// Whether a test that it wants is left out because of what it needs.
    fn ignores(&self, test: &Test) -> bool {
        !self.include_ignored && test.ignored != self.ignored
    }
}

/// Without the name of this program.
fn short(name: &str) -> &str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = tests.iter().filter(|test| arguments.wants(test.name)).copied();
    let (ignored, chosen): (Vec<Test>, Vec<Test>) = wanted.partition(|test| arguments.ignores(test));
    if arguments.list {
        for test in &chosen {
            println!("{}: test", short(test.name));
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let left_out = tests.len() - chosen.len() - ignored.len();
    let counted = if chosen.is_empty() { Ok(Counted::default()) } else { run(&arguments, &chosen) };
    match counted {
        Ok(Counted { passed, failed }) => {
            let result = if failed.is_empty() { "ok" } else { "FAILED" };
            if !failed.is_empty() {
                println!("\nfailures:");
                for (name, error) in &failed {
                    println!("    {name}: {error}");
                }
            }
            println!(
                "\ntest result: {result}. {passed} passed; {} failed; {} ignored; 0 measured; {left_out} filtered out\n",
                failed.len(),
                ignored.len()
            );
            if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Default)]
struct Counted {
    passed: usize,
    /// With the errors, which a reader of the end of a log would not see otherwise.
    failed: Vec<(&'static str, String)>,
}

fn run(arguments: &Arguments, tests: &[Test]) -> Result<Counted> {
    preflight::check_machine()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let state = root.join(".dev-e2e");
    let cache =
        std::env::var_os("WH_TESTBED_CACHE").map_or_else(|| root.join(".cache/testbed"), PathBuf::from);
    let options = Options {
        state: state.join("cluster"),
        programs: programs()?,
        cache: std::path::absolute(cache)?,
        untouched: false,
        proxies: 1,
        progress: Progress::loud(),
    };
    // Tests start programs and wait for them, which holds a thread.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2 * AT_ONCE).enable_all().build()?;
    runtime.block_on(async {
        let session = Session::begin(&state, options)?;
        let work = async {
            let bed = Arc::new(Bed::open(Cluster::boot(&session.options).await?, root).await?);
            let counted = run_all(&bed, tests, arguments.test_threads.unwrap_or(AT_ONCE)).await;
            if arguments.keep && !counted.failed.is_empty() {
                eprintln!("the cluster of {} stays until Ctrl-C", state.display());
                stopped().await?;
            }
            Ok(counted)
        };
        session.run(work).await?.context("stopped by a signal")
    })
}

/// `WH_PROGRAMS`, or the folder that these tests were built into.
fn programs() -> Result<PathBuf> {
    let built = || Path::new(env!("CARGO_BIN_EXE_wh-testbed")).parent().map(Path::to_owned);
    let folder = std::env::var_os("WH_PROGRAMS").map(PathBuf::from).or_else(built).context("no folder")?;
    folder.canonicalize().with_context(|| format!("there is no folder {} (WH_PROGRAMS)", folder.display()))
}

async fn run_all(bed: &Arc<Bed>, tests: &[Test], at_once: usize) -> Counted {
    let mut counted = Counted::default();
    for group in tests.chunk_by(|one, next| one.alone == next.alone) {
        let at_once = if group[0].alone { 1 } else { at_once };
        let mut results = stream::iter(group).map(|test| run_and_tell(bed, test)).buffer_unordered(at_once);
        while let Some((name, result)) = results.next().await {
            match result {
                Ok(()) => counted.passed += 1,
                Err(error) => counted.failed.push((name, format!("{error:#}"))),
            }
        }
    }
    counted
}

async fn run_and_tell(bed: &Arc<Bed>, test: &Test) -> (&'static str, Result<()>) {
    let (name, start, logs) = (short(test.name), Instant::now(), Logs::mark(&bed.cluster));
    let result = run_one(bed, test).await;
    let took = start.elapsed().as_secs_f64();
    match &result {
        Ok(()) => println!("test {name} ... ok ({took:.1} s)"),
        Err(error) => {
            println!("test {name} ... FAILED ({took:.1} s)\n\n{error:#}\n\n{}", logs.since(&bed.cluster));
        }
    }
    (name, result)
}

/// A panic is a failure of this test only.
async fn run_one(bed: &Arc<Bed>, test: &Test) -> Result<()> {
    let mut task = JoinSet::new();
    task.spawn((test.run)(bed.clone()));
    let ended = tokio::time::timeout(LIMIT, task.join_next()).await;
    match ended.map_err(|_| anyhow!("not done within {} s", LIMIT.as_secs()))? {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(match error.try_into_panic() {
            Ok(panic) => anyhow!("panicked: {}", panic_text(panic.as_ref())),
            Err(error) => error.into(),
        }),
        None => Err(anyhow!("the test was lost")),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref().copied())
        .unwrap_or("?")
}

/// How long every log was when a test began.
struct Logs(BTreeMap<PathBuf, u64>);

impl Logs {
    fn mark(cluster: &Cluster) -> Self {
        Self(logs(cluster).filter_map(|path| Some((path.clone(), path.metadata().ok()?.len()))).collect())
    }

    /// The end of what was written since, log by log.
    fn since(&self, cluster: &Cluster) -> String {
        // Tests poll the API.
        let worth = |line: &str| !(line.contains("\"method\":\"GET\"") && line.contains("\"status\":2"));
        let mut paths: Vec<PathBuf> = logs(cluster).collect();
        paths.sort();
        let tails =
            paths.iter().filter_map(|path| tail_from(path, self.0.get(path).copied().unwrap_or(0), worth));
        tails.collect::<Vec<_>>().join("\n")
    }
}

/// Those of all services of all hosts.
fn logs(cluster: &Cluster) -> impl Iterator<Item = PathBuf> {
    let folders = host_names().filter_map(|name| Some(cluster.host(name).ok()?.folder.join("log")));
    folders.filter_map(|folder| folder.read_dir().ok()).flatten().flatten().map(|file| file.path())
}
