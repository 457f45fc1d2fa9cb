//! Questions to agents over real sockets.

use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::message::{FromAgent, FromControlPlane};
use protocol::numbers::{NodeNumbers, Space};
use protocol::question::{
    AgentLine, AgentLog, Answer, AnswerKind, Ask, Cleanable, CleanableImage, Cleaned, LogLevel, Question,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::http::permission::MemberRole;
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::reconcile::dispatch_questions::DispatchQuestions;

async fn asked(mesh: &Mesh, link: &mut Link) -> Ask {
    let app = mesh.test.app.clone();
    let dispatch = async {
        loop {
            DispatchQuestions(app.clone()).pass().await.expect("pass");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let ask = link.until(|message| match message {
        FromControlPlane::Ask(ask) => Some(ask),
        _ => None,
    });
    tokio::select! {
        ask = ask => ask,
        () = dispatch => unreachable!("it goes on"),
    }
}

fn line(seq: u64, text: &str) -> AgentLine {
    let at = chrono::Utc::now();
    AgentLine { seq, at, level: LogLevel::Warn, target: "worker".to_owned(), text: text.to_owned() }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_log_of_an_agent_is_asked_of_it_and_goes_on_from_where_it_was(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let owner = mesh.test.owner().await;
    let run = Uuid::from_u128(7);
    let answering = async {
        let Ask { id, question } = asked(&mesh, &mut link).await;
        let Question::Log(question) = question else { panic!("{question:?}") };
        assert_eq!((question.after, question.level, question.lines), (None, LogLevel::Warn, 5));
        let lines = vec![line(3, "the disk is full"), line(4, "still\u{0}")];
        link.say(&FromAgent::Answer(Answer { id, answer: AnswerKind::Log(AgentLog { run, lines }) })).await;
    };
    let (log, ()) = tokio::join!(owner.get("/api/v1/nodes/w1/agent-log?level=warn&lines=5"), answering);
    let log = log.expect(200);
    assert_eq!((&log["agent"], &log["lines"][0]["text"]), (&json!("worker"), &json!("the disk is full")));
    let place = log["place"].as_str().expect("place").to_owned();
    assert!(place.ends_with("-4"), "{place}");

    let answering = async {
        let Ask { id, question } = asked(&mesh, &mut link).await;
        let Question::Log(question) = question else { panic!("{question:?}") };
        assert_eq!(question.after.map(|after| (after.run, after.seq)), Some((run, 4)));
        let answer = AnswerKind::Log(AgentLog { run, lines: Vec::new() });
        link.say(&FromAgent::Answer(Answer { id, answer })).await;
    };
    let url = format!("/api/v1/nodes/w1/agent-log?after={place}");
    let (log, ()) = tokio::join!(owner.get(&url), answering);
    let log = log.expect(200);
    assert_eq!((&log["lines"], log["place"].as_str()), (&json!([]), Some(place.as_str())));
    let left: i64 = sqlx::query_scalar("select count(*) from agent_questions")
        .fetch_one(&mesh.test.app.db)
        .await
        .expect("count");
    assert_eq!(left, 0, "what is answered is gone");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_question_that_cannot_be_asked_says_why(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    mesh.dial(&joined, AgentKind::Mesh, hello(Vec::new())).await.settle(&nothing()).await;
    let owner = mesh.test.owner().await;
    for (query, field) in [
        ("agent=cat", "agent"),
        ("agent=proxy", "agent"),
        ("level=loud", "level"),
        ("lines=0", "lines"),
        ("after=x", "after"),
    ] {
        let refused = owner.get(&format!("/api/v1/nodes/w1/agent-log?{query}")).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    sqlx::query("update agents set connected_to = null").execute(&mesh.test.app.db).await.expect("gone");
    let refused = owner.get("/api/v1/nodes/w1/agent-log").await.expect(503);
    assert!(refused["message"].as_str().expect("text").contains("is not connected"), "{refused}");
    let viewer = mesh.test.member("acme", MemberRole::Viewer).await;
    viewer.get("/api/v1/nodes/w1/agent-log").await.expect(403);
}

fn image(letter: &str, frees_bytes: u64) -> CleanableImage {
    let id = format!("sha256:{}", letter.repeat(64));
    CleanableImage {
        id,
        names: vec![format!("docker.io/library/{letter}:1")],
        frees_bytes,
        ..Default::default()
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_clean_up_removes_what_was_shown_and_is_written_down(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    sqlx::query(
        "insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
         select $1, id, 1, $2, 'docker.io/library/b:1', settings, '' from apps",
    )
    .bind(Uuid::now_v7())
    .bind(image("b", 0).id)
    .execute(&mesh.test.app.db)
    .await
    .expect("release");
    let answering = async {
        let Ask { id, question } = asked(&mesh, &mut link).await;
        assert_eq!(question, Question::Cleanable);
        let images = vec![image("a", 900), image("b", 50)];
        link.say(&FromAgent::Answer(Answer { id, answer: AnswerKind::Cleanable(Cleanable { images }) }))
            .await;
    };
    let (preview, ()) = tokio::join!(owner.get("/api/v1/nodes/w1/gc/preview"), answering);
    let preview = preview.expect(200);
    let shown: Vec<&Value> =
        preview["images"].as_array().expect("images").iter().map(|one| &one["id"]).collect();
    assert_eq!(
        (shown, &preview["frees_bytes"]),
        (vec![&json!(image("a", 0).id)], &json!(900)),
        "b is of a release"
    );

    let ask = |ids: Vec<String>| json!({ "images": ids });
    for (ids, field) in
        [(vec![], "images"), (vec!["--all".to_owned()], "images[0]"), (vec![image("b", 0).id], "images")]
    {
        let refused = owner.post("/api/v1/nodes/w1/gc", ask(ids)).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    let started = owner.post("/api/v1/nodes/w1/gc", ask(vec![image("a", 0).id])).await.expect(202);
    assert_eq!((&started["state"], &started["images"]), (&json!("running"), &json!(1)));
    let Ask { id, question } = asked(&mesh, &mut link).await;
    assert_eq!(question, Question::Clean { images: vec![image("a", 0).id] });
    let cleaned = Cleaned { removed: vec![image("a", 900)], left: Vec::new() };
    link.say(&FromAgent::Answer(Answer { id, answer: AnswerKind::Cleaned(cleaned.clone()) })).await;
    // What comes twice counts once.
    link.say(&FromAgent::Answer(Answer { id, answer: AnswerKind::Cleaned(Cleaned::default()) })).await;
    link.settle(&nothing()).await;
    let runs = owner.get("/api/v1/nodes/w1/gc").await.expect(200);
    let run = &runs["items"][0];
    assert_eq!((&run["state"], &run["freed_bytes"]), (&json!("done"), &json!(900)), "{runs}");
    assert!(run["started_by"].as_str().expect("who").contains('@'), "{run}");
    let audit = owner.get("/api/v1/audit").await.expect(200);
    assert_eq!(audit["items"][0]["action"], "node.clean-up", "{audit}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn numbers_are_shown_at_once_and_as_points_a_minute_later(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Mesh, hello(Vec::new())).await;
    let memory = Space { used_bytes: 3, total_bytes: 4 };
    let said = NodeNumbers { cpu_percent: 25.0, memory, root: memory, ..NodeNumbers::default() };
    link.say(&FromAgent::Numbers(said)).await;
    link.settle(&nothing()).await;
    let owner = mesh.test.owner().await;
    let nodes = owner.get("/api/v1/nodes").await.expect(200);
    assert_eq!(nodes["items"][0]["numbers"]["cpu_percent"], 25.0);
    let series = owner.get("/api/v1/nodes/w1/numbers?range=1h").await.expect(200);
    assert_eq!((&series["points"], &series["now"]["memory"]["used_bytes"]), (&json!([]), &json!(3)));
    let refused = owner.get("/api/v1/nodes/w1/numbers?range=2y").await.expect(422);
    assert_eq!(refused["field"], "range");
}
