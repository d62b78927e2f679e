//! What people are told. Pure: from what stands now to what has to be said; whoever calls leaves out what was said before.

use jiff::civil::Date;

use crate::domain::connection::{Connection, ConnectionState, CredentialLife, deadlines};

/// A deadline is told so many days before.
const DAYS_BEFORE: [i32; 4] = [0, 1, 7, 14];

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The same as long as it is the same thing: it is told once.
    pub key: String,
    /// In a line.
    pub title: String,
    /// What it affects, and what to do.
    pub text: String,
}

/// What there is to say of a connection on a day: that it stopped, and what ends soon.
#[must_use]
pub fn due(connection: &Connection, life: CredentialLife, today: Date) -> Vec<Notice> {
    let mut notices = Vec::new();
    let (id, alias) = (connection.id.0, &connection.alias);
    if connection.state == ConnectionState::NeedsReauthorisation {
        let note =
            connection.state_note.as_deref().unwrap_or("The platform no longer accepts the credentials.");
        notices.push(Notice {
            key: format!("reauthorise:{id}:{}", connection.state_since),
            title: format!("{alias} needs a new authorisation"),
            text: format!(
                "{note}\nNothing is lost, and nothing goes on there until somebody enters new credentials: open the \
                 connection and choose Re-authorise."
            ),
        });
    }
    for deadline in deadlines(&connection.settings, life, today) {
        let Some(days) = DAYS_BEFORE.into_iter().find(|days| deadline.days_left <= *days) else { continue };
        let title = match deadline.days_left {
            ..0 => format!("{alias}: {} ended on {}", deadline.what, deadline.on),
            0 => format!("{alias}: {} ends today", deadline.what),
            1 => format!("{alias}: {} ends tomorrow", deadline.what),
            left => format!("{alias}: {} ends in {left} days", deadline.what),
        };
        let text = format!(
            "It ends on {}; from then on no order comes in and no parcel is told. {}",
            deadline.on, deadline.next_step
        );
        notices.push(Notice {
            key: format!("deadline:{id}:{}:{}:{days}", deadline.what, deadline.on),
            title,
            text,
        });
    }
    notices
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::civil::date;

    use super::*;
    use crate::domain::connection::ConnectionSettings;
    use crate::domain::id::ConnectionId;

    fn connection(state: ConnectionState) -> Connection {
        let settings =
            ConnectionSettings { secret_made_on: Some(date(2026, 1, 1)), ..ConnectionSettings::default() };
        Connection {
            id: ConnectionId(7),
            channel: "amazon".into(),
            alias: "Amazon US".to_owned(),
            account: "A1".to_owned(),
            base_url: None,
            state,
            state_note: None,
            state_since: Timestamp::UNIX_EPOCH,
            created_at: Timestamp::UNIX_EPOCH,
            settings,
            currency: None,
        }
    }

    const LIFE: CredentialLife =
        CredentialLife { secret_days: Some(180), authorisation_days: None, tokens_rotate: false };

    #[test]
    fn a_deadline_is_told_fourteen_seven_and_one_day_before_and_on_its_day() {
        let connection = connection(ConnectionState::Active);
        let last = date(2026, 1, 1).checked_add(jiff::Span::new().days(180)).unwrap();
        let mut keys = Vec::new();
        let mut titles = Vec::new();
        for before in (-3..=20).rev() {
            let today = last.checked_sub(jiff::Span::new().days(before)).unwrap();
            for notice in due(&connection, LIFE, today) {
                if !keys.contains(&notice.key) {
                    keys.push(notice.key);
                    titles.push((before, notice.title));
                }
            }
        }
        let days: Vec<i64> = titles.iter().map(|(before, _)| *before).collect();
        assert_eq!(days, [14, 7, 1, 0]);
        assert_eq!(titles[2].1, "Amazon US: The app's client secret ends tomorrow");
    }

    #[test]
    fn a_connection_that_stopped_is_told_once_for_each_time_that_it_stops() {
        let stopped = connection(ConnectionState::NeedsReauthorisation);
        let later = Connection { state_since: "2026-05-05T00:00:00Z".parse().unwrap(), ..stopped.clone() };
        let today = date(2026, 1, 2);
        let keys: Vec<String> = [&stopped, &stopped, &later]
            .into_iter()
            .flat_map(|one| due(one, LIFE, today))
            .map(|n| n.key)
            .collect();
        assert_eq!(keys[0], keys[1]);
        assert_ne!(keys[1], keys[2]);
        assert!(due(&connection(ConnectionState::Active), LIFE, today).is_empty());
        assert!(due(&connection(ConnectionState::Paused), LIFE, today).is_empty());
    }
}
