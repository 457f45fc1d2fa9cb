//! Answers to what people ask of an agent.

use daemon::recent::{self, Recent};
use protocol::question::{
    AgentLine, AgentLog, Answer, AnswerKind, Ask, LogLevel, LogQuestion, MAX_LINES, MAX_TEXT, Question,
};
use tracing::Level;
use uuid::Uuid;

/// What every agent can answer; of anything else, that it cannot.
pub fn of_any(ask: &Ask) -> Answer {
    let answer = match &ask.question {
        Question::Log(question) => AnswerKind::Log(read(recent::log(), question)),
        Question::Cleanable | Question::Clean { .. } => {
            AnswerKind::Failed { message: "only workers hold images".to_owned() }
        }
        Question::Private { .. } => {
            AnswerKind::Failed { message: "only workers have a private network".to_owned() }
        }
    };
    Answer { id: ask.id, answer }
}

fn read(log: &Recent, question: &LogQuestion) -> AgentLog {
    let run = Uuid::from_u128(log.run());
    // What was seen of another run says nothing of this one.
    let after = question.after.filter(|place| place.run == run).map_or(0, |place| place.seq);
    let most = usize::try_from(question.lines).unwrap_or(MAX_LINES).min(MAX_LINES);
    let lines = log.read(after, of_level(question.level), most, MAX_TEXT);
    let told = lines.into_iter().map(|line| AgentLine {
        seq: line.seq,
        at: line.at.into(),
        level: level(line.level),
        target: line.target,
        text: line.text,
    });
    AgentLog { run, lines: told.collect() }
}

fn of_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

#[cfg(test)]
mod tests {
    use protocol::question::LogPlace;

    use super::*;

    #[test]
    fn a_log_is_told_from_the_line_on_that_was_seen_of_this_run() {
        let log = Recent::default();
        log.keep(Level::INFO, "test", "all is well".to_owned());
        log.keep(Level::ERROR, "test", "the disk is full".to_owned());
        let read = |after, level| super::read(&log, &LogQuestion { after, level, lines: 10 });
        let told = read(None, LogLevel::Error);
        let texts: Vec<_> = told.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["the disk is full"]);
        assert_eq!(read(None, LogLevel::Info).lines.len(), 2);
        let seen = |run| Some(LogPlace { run, seq: told.lines[0].seq });
        assert_eq!(read(seen(told.run), LogLevel::Info).lines, []);
        assert_eq!(read(seen(Uuid::nil()), LogLevel::Info).lines.len(), 2, "of another run");
    }

    #[test]
    fn only_workers_are_asked_for_images() {
        let ask = Ask { id: Uuid::nil(), question: Question::Cleanable };
        let AnswerKind::Failed { message } = of_any(&ask).answer else { panic!("answered") };
        assert!(message.contains("worker"), "{message}");
    }
}
