//! Mail, by the merchant's own server. The library speaks SMTP and writes the message; nothing here does.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::{Mailbox, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use thiserror::Error;

use super::{Notice, Notifier};
use crate::secret::Secret;

/// A server that does not answer holds nothing up for longer than this.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where mail goes, and from whom.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// The server with user and password, such as `smtps://user:password@mail.example.com`.
    pub server: Secret,
    /// Who writes.
    pub from: String,
    /// Who reads.
    pub to: Vec<String>,
    /// Where the pages are, for the link at the end.
    pub pages: String,
}

/// Why mail cannot be sent.
#[derive(Debug, Error)]
pub enum MailError {
    /// The server's address.
    #[error(
        "mail.server is no address of a mail server ({0}): expected smtps://USER:PASSWORD@HOST, or \
         smtp://USER:PASSWORD@HOST:587?tls=required"
    )]
    Server(String),
    /// Nobody to send to, or a wrong address.
    #[error("{0}")]
    Address(String),
}

/// Mail to the people whom the settings name.
pub struct Mail {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    pages: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Mail {
    /// Reads the settings. Connects to nobody.
    ///
    /// # Errors
    /// Which setting is wrong, and what is expected.
    pub fn new(settings: &MailSettings) -> Result<Self, MailError> {
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.server.expose().trim())
            .map_err(|error| MailError::Server(error.to_string()))?
            .timeout(Some(TIMEOUT))
            .build();
        let mailbox = |name: &str, text: &str| {
            text.parse::<Mailbox>()
                .map_err(|error| MailError::Address(format!("{name}: “{text}” is no mail address ({error})")))
        };
        let to = settings.to.iter().map(|text| mailbox("mail.to", text)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(MailError::Address("mail.to names nobody: add at least one address".to_owned()));
        }
        Ok(Self { server, from: mailbox("mail.from", &settings.from)?, to, pages: settings.pages.clone() })
    }

    fn message(&self, notices: &[Notice]) -> Result<Message, String> {
        let subject = match notices {
            [only] => format!("Eider: {}", only.title),
            many => format!("Eider: {} things need you", many.len()),
        };
        let mut text: String =
            notices.iter().map(|notice| format!("{}\n\n{}\n\n", notice.title, notice.text)).collect();
        text.push_str(&self.pages);
        text.push('\n');
        let mut message = Message::builder().from(self.from.clone()).subject(subject);
        for reader in &self.to {
            message = message.to(reader.clone());
        }
        message.header(ContentType::TEXT_PLAIN).body(text).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Notifier for Mail {
    async fn tell(&self, notices: &[Notice]) -> Result<(), String> {
        let message = self.message(notices)?;
        self.server.send(message).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    fn settings(server: &str) -> MailSettings {
        MailSettings {
            server: Secret::new(server),
            from: "Eider <eider@shop.example>".to_owned(),
            to: vec!["owner@shop.example".to_owned()],
            pages: "https://orders.shop.example/".to_owned(),
        }
    }

    fn notice() -> Notice {
        Notice {
            key: "k".to_owned(),
            title: "Amazon US needs a new authorisation".to_owned(),
            text: "Open the connection – größer".to_owned(),
        }
    }

    /// A server that takes one message, and what it was sent. No line of it leaves the machine.
    async fn server(accepts: bool) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let said = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let mut said = Vec::new();
            write.write_all(b"220 ready\r\n").await.unwrap();
            let mut is_body = false;
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: &[u8] = match line.as_str() {
                    "." if is_body => {
                        is_body = false;
                        b"250 kept\r\n"
                    }
                    _ if is_body => b"",
                    "DATA" => {
                        is_body = true;
                        b"354 go on\r\n"
                    }
                    "QUIT" => b"221 bye\r\n",
                    line if line.starts_with("RCPT") && !accepts => b"550 no such user\r\n",
                    _ => b"250 well\r\n",
                };
                said.push(line);
                if write.write_all(answer).await.is_err() {
                    break;
                }
            }
            said
        });
        (url, said)
    }

    #[tokio::test]
    async fn a_notice_arrives_with_its_subject_its_text_and_the_way_in() {
        let (url, said) = server(true).await;
        let mail = Mail::new(&settings(&url)).unwrap();
        mail.tell(&[notice()]).await.unwrap();
        drop(mail);
        let said = said.await.unwrap().join("\n");
        for part in [
            "MAIL FROM:<eider@shop.example>",
            "RCPT TO:<owner@shop.example>",
            "Subject: Eider: Amazon US needs a new authorisation",
            "Content-Type: text/plain; charset=utf-8",
            "https://orders.shop.example/",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[tokio::test]
    async fn a_server_that_refuses_the_reader_is_an_error_in_its_words() {
        let (url, _) = server(false).await;
        let error = Mail::new(&settings(&url)).unwrap().tell(&[notice()]).await.unwrap_err();
        assert!(error.contains("no such user"), "{error}");
    }

    #[test]
    fn wrong_settings_name_what_is_expected() {
        let wrong = |change: &dyn Fn(&mut MailSettings)| {
            let mut settings = settings("smtps://u:p@mail.shop.example");
            change(&mut settings);
            Mail::new(&settings).unwrap_err().to_string()
        };
        assert!(wrong(&|settings| settings.server = Secret::new("mail.shop.example")).contains("smtps://"));
        assert!(wrong(&|settings| settings.to.clear()).contains("mail.to"));
        assert!(wrong(&|settings| settings.to = vec!["owner".to_owned()]).contains("“owner”"));
        assert!(wrong(&|settings| settings.from = "eider".to_owned()).contains("mail.from"));
    }
}
