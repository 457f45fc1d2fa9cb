//! Runs tests beside clusters, and speaks like `cargo test`. Tests mostly wait, so several run at once: those that can
//! share a cluster beside each other, and each of the others beside a cluster that has nothing else to do.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use futures_util::future::{BoxFuture, join_all};
use futures_util::{StreamExt as _, stream};
use testbed::cluster::{Cluster, Options, host_names};
use testbed::preflight;
use testbed::report::{Progress, tail_from};
use testbed::session::{Session, stopped};
use tokio::task::JoinSet;

use crate::bed::Bed;

/// No test may take longer, whatever else the machine does.
const LIMIT: Duration = Duration::from_mins(5);
/// So many of those that need not be alone run at once.
const AT_ONCE: usize = 3;
/// So many clusters, unless there are fewer tests for them.
const CLUSTERS: usize = 3;

/// One test. Modules list theirs with [`tests!`].
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<Bed>) -> BoxFuture<'static, Result<()>>,
    /// No other test may run beside the same cluster at the same time.
    pub(crate) alone: bool,
    /// Runs only when it is asked for.
    pub(crate) ignored: bool,
    /// Takes long: `--short` leaves it out, also where no shorter one looks at the same.
    pub(crate) long: bool,
}

/// The same tests, each without another one beside it.
pub(crate) fn alone(tests: &[Test]) -> Vec<Test> {
    tests.iter().map(|test| Test { alone: true, ..*test }).collect()
}

/// The same tests, only for those who ask for them.
pub(crate) fn ignored(tests: &[Test]) -> Vec<Test> {
    tests.iter().map(|test| Test { ignored: true, ..*test }).collect()
}

/// `tests![one, long other]`: the functions `async fn one(bed: Arc<Bed>) -> Result<()>` of this module.
macro_rules! tests {
    (@test $name:ident $long:literal) => {
        crate::runner::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            run: |bed| Box::pin($name(bed)),
            alone: false,
            ignored: false,
            long: $long,
        }
    };
    (@list [$($done:expr,)*]) => { &[$($done),*] };
    (@list [$($done:expr,)*] long $name:ident $(, $($rest:tt)*)?) => {
        crate::runner::tests!(@list [$($done,)* crate::runner::tests!(@test $name true),] $($($rest)*)?)
    };
    (@list [$($done:expr,)*] $name:ident $(, $($rest:tt)*)?) => {
        crate::runner::tests!(@list [$($done,)* crate::runner::tests!(@test $name false),] $($($rest)*)?)
    };
    ($($tests:tt)*) => {
        pub(crate) const TESTS: &[crate::runner::Test] = crate::runner::tests!(@list [] $($tests)*);
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
    /// Leave out long ones, unless their names are asked for.
    #[arg(long)]
    short: bool,
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
    /// 1 makes all tests run one after the other, beside one cluster.
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
        let too_long = self.short && test.long && self.filters.is_empty();
        too_long || !self.include_ignored && test.ignored != self.ignored
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

impl Counted {
    fn add(&mut self, (name, result): (&'static str, Result<()>)) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => self.failed.push((name, format!("{error:#}"))),
        }
    }
}

/// Who does what. The first cluster has the tests that share one; after that it takes from the queue like the others.
struct Plan {
    together: Vec<Test>,
    at_once: usize,
    queue: Mutex<VecDeque<Test>>,
    clusters: usize,
    /// After a failure a cluster stays until Ctrl-C.
    keep: bool,
}

impl Plan {
    fn of(tests: &[Test], arguments: &Arguments) -> Self {
        let (queue, together): (Vec<Test>, Vec<Test>) = tests.iter().partition(|test| test.alone);
        let at_once = arguments.test_threads.unwrap_or(AT_ONCE).max(1);
        let most = if at_once == 1 { 1 } else { CLUSTERS };
        let clusters = (queue.len() + usize::from(!together.is_empty())).min(most);
        Self { together, at_once, queue: Mutex::new(queue.into()), clusters, keep: arguments.keep }
    }

    fn next(&self) -> Option<Test> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

fn run(arguments: &Arguments, tests: &[Test]) -> Result<Counted> {
    preflight::check_machine()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let plan = Plan::of(tests, arguments);
    // Tests start programs and wait for them, which holds a thread.
    let threads = 2 * (plan.at_once + plan.clusters);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let mut counted = Counted::default();
        // To their ends, whatever happens to one: each takes its cluster away.
        for one in join_all((1..=plan.clusters).map(|number| beside_cluster(number, &plan, &root))).await {
            let one = one?;
            counted.passed += one.passed;
            counted.failed.extend(one.failed);
        }
        Ok(counted)
    })
}

/// Boots a cluster, runs tests beside it until none is left, and takes it away.
async fn beside_cluster(number: usize, plan: &Plan, root: &Path) -> Result<Counted> {
    let state = root.join(if number == 1 { ".dev-e2e".to_owned() } else { format!(".dev-e2e-{number}") });
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
    let session = Session::begin(&state, options)?;
    let work = async {
        let bed = Arc::new(Bed::open(Cluster::boot(&session.options).await?, root.to_owned()).await?);
        let mut counted = Counted::default();
        if number == 1 {
            let tests = stream::iter(&plan.together).map(|test| run_and_tell(&bed, test));
            let mut results = tests.buffer_unordered(plan.at_once);
            while let Some(ended) = results.next().await {
                counted.add(ended);
            }
        }
        while let Some(test) = plan.next() {
            counted.add(run_and_tell(&bed, &test).await);
        }
        if plan.keep && !counted.failed.is_empty() {
            eprintln!("the cluster of {} stays until Ctrl-C", state.display());
            stopped().await?;
        }
        Ok(counted)
    };
    session.run(work).await?.context("stopped by a signal")
}

/// `WH_PROGRAMS`, or the folder that these tests were built into.
fn programs() -> Result<PathBuf> {
    let built = || Path::new(env!("CARGO_BIN_EXE_wh-testbed")).parent().map(Path::to_owned);
    let folder = std::env::var_os("WH_PROGRAMS").map(PathBuf::from).or_else(built).context("no folder")?;
    folder.canonicalize().with_context(|| format!("there is no folder {} (WH_PROGRAMS)", folder.display()))
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
