//! The real binary for tests: an appliance in a folder of its own, simulated platforms in another process, and somebody
//! who stands between the two and breaks what passes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eider::clock::{Clock as _, SystemClock};
use eider::http::{Call, HttpSettings, HttpTransport, Transport as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The program.
pub const EIDER: &str = env!("CARGO_BIN_EXE_eider");

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A process that ends with the test, as hard as can be.
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    /// Starts it and waits for its line of JSON. What it says beside that is kept.
    fn start(mut command: Command) -> (Self, Value) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = heard.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let running = Self { child, said };
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error} in {line:?}; it said: {}", running.said()));
        (running, ready)
    }

    /// What it said on stderr.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Kills it with signal 9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lifts a limit of the size of its files.
    pub fn gets_room(&self) {
        let pid = self.child.id().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap();
        assert!(lifted.success());
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended by itself, and gives its exit code.
    pub async fn ends(&mut self) -> Option<i32> {
        let start = SystemClock.now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            let passed = SystemClock.now().duration_since(start);
            assert!(passed < PATIENCE.try_into().unwrap(), "it still runs; it said: {}", self.said());
            SystemClock.sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A command of the program in `dir`, on the data folder `dir/data`.
pub fn eider(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, EIDER).args(arguments).args(["--data", "data"]).output().unwrap()
}

/// A command without the tester's own settings.
fn command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().env("HOME", dir).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
        .env("EIDER__NETWORK__ALLOW_PRIVATE", "true")
        .env("EIDER__SYNC__POLL_INTERVAL_S", "1")
        .env("EIDER__SYNC__SHOP_POLL_INTERVAL_S", "1")
        .env("EIDER__LOG__LEVEL", "warn");
    command
}

/// The command that serves the folder, run by another program where one is given.
fn serve_by(dir: &Path, wrapper: &[&str]) -> Command {
    let words: Vec<&str> = wrapper.iter().copied().chain([EIDER]).collect();
    let (program, before) = words.split_first().unwrap();
    let mut serve = command(dir, program);
    serve.args(before).args(["serve", "--listen", "127.0.0.1:0", "--data", "data"]);
    serve
}

/// A client for the simulators' truth and the appliance's API.
pub fn client() -> HttpTransport {
    HttpTransport::new(HttpSettings { allow_private: true, ..HttpSettings::default() }).unwrap()
}

async fn call(
    http: &HttpTransport,
    method: &str,
    url: &str,
    token: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))
        .unwrap();
    let answer = http.send(Call::new("test", request)).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

/// Simulated platforms, which live on while appliances come and go.
pub struct Platforms {
    _running: Running,
    http: HttpTransport,
    sims: Value,
    offers: Vec<Value>,
}

impl Platforms {
    /// Platforms with so many orders of old.
    pub async fn start(dir: &Path, orders: &str) -> Self {
        let mut simulate = command(dir, EIDER);
        simulate.args(["simulate", "--listen", "127.0.0.1:0", "--rate", "0", "--quotas", "off"]);
        simulate.args(["--orders", orders]);
        let (running, ready) = Running::start(simulate);
        let http = client();
        let url = format!("{}_sim/connections", ready["url"].as_str().unwrap());
        let (_, offers) = call(&http, "GET", &url, "", None).await;
        let offers = offers.as_array().unwrap().clone();
        Self { _running: running, http, sims: ready["sims"].clone(), offers }
    }

    /// What is to be entered to connect a platform.
    pub fn offer(&self, channel: &str) -> Value {
        let offer = self.offers.iter().find(|offer| offer["channel"] == channel).unwrap();
        let mut offer = offer.clone();
        offer["alias"] = json!(channel);
        offer["settings"] = json!({});
        offer
    }

    /// A simulator's truth, or a command to it.
    pub async fn sim(&self, platform: &str, name: &str, body: Option<Value>) -> Value {
        let base = self.sims[platform].as_str().unwrap();
        let method = if body.is_some() { "POST" } else { "GET" };
        let (status, answer) = call(&self.http, method, &format!("{base}/_sim/{name}"), "", body).await;
        assert!(status < 300, "{platform} {name}: {status} {answer}");
        answer
    }

    /// Sells what the shop has as well on Amazon, and gives the order's id.
    pub async fn sell(&self) -> String {
        let listings = self.sim("amazon", "listings", None).await;
        let variants = self.sim("bigcommerce", "listings", None).await;
        let is_in_stock = |sku: &Value| {
            let variants = variants.as_array().unwrap();
            variants.iter().any(|variant| variant["sku"] == *sku && variant["quantity"].as_i64() > Some(300))
        };
        let mut sellable = listings.as_array().unwrap().iter().filter(|one| one["fulfilled_by"] == "seller");
        let sku = sellable.find(|listing| is_in_stock(&listing["sku"])).unwrap()["sku"].clone();
        let sold = self.sim("amazon", "sell", Some(json!({"sku": sku, "quantity": 1, "paid": true}))).await;
        sold["id"].as_str().unwrap().to_owned()
    }

    /// How often the shop has each of these orders of a marketplace.
    pub async fn copies(&self, ids: &[String]) -> Vec<usize> {
        let all = self.sim("bigcommerce", "shop_orders", None).await;
        let all = all.as_array().unwrap();
        ids.iter()
            .map(|id| all.iter().filter(|order| order["external_order_id"].as_str() == Some(id)).count())
            .collect()
    }
}

/// An appliance on the data folder `dir/data`.
pub struct Appliance {
    /// Its process.
    pub running: Running,
    http: HttpTransport,
    base: String,
    token: String,
}

impl Appliance {
    /// Starts it; `wrapper` is what runs it, such as a shell that limits it.
    pub fn start(dir: &Path) -> Self {
        Self::start_by(dir, &[])
    }

    /// Starts it where platforms reach it, at a port that was free a moment ago.
    pub fn start_reachable(dir: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut serve = command(dir, EIDER);
        serve.env("EIDER__PUBLIC_URL", format!("http://{free}/"));
        serve.args(["serve", "--data", "data", "--listen"]).arg(free.to_string());
        Self::run(dir, serve)
    }

    /// Starts it with settings from the environment.
    pub fn start_with(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut serve = serve_by(dir, &[]);
        serve.envs(variables.iter().copied());
        Self::run(dir, serve)
    }

    /// Starts it by another program, which gets the whole command line as its last arguments.
    pub fn start_by(dir: &Path, wrapper: &[&str]) -> Self {
        Self::run(dir, serve_by(dir, wrapper))
    }

    fn run(dir: &Path, serve: Command) -> Self {
        let (running, ready) = Running::start(serve);
        // A name is given once, and one folder may see several starts.
        let name = format!("test {}", running.child.id());
        let made = eider(dir, &["token", "create", "--role", "owner", "--name", &name]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let base = ready["url"].as_str().unwrap().trim_end_matches('/').to_owned();
        Self { running, http: client(), base, token }
    }

    /// A call of the API: status and document.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        call(&self.http, method, &format!("{}/api/v1/{path}", self.base), &self.token, body).await
    }

    /// Connects a platform and gives the connection's id.
    pub async fn connects(&self, offer: Value) -> i64 {
        let (status, answer) = self.api("POST", "connections", Some(offer)).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_i64().unwrap()
    }

    /// Connects the shop, and Amazon to it.
    pub async fn connects_all(&self, platforms: &Platforms) -> (i64, i64) {
        let shop = self.connects(platforms.offer("bigcommerce")).await;
        let mut amazon = platforms.offer("amazon");
        amazon["settings"] = json!({"shop": shop});
        (shop, self.connects(amazon).await)
    }

    /// Waits until a connection says something of its state, its note or its last error.
    pub async fn waits_for_word(&self, connection: i64, wanted: &str) {
        let mut last = Value::Null;
        let is_there = async || {
            let (_, found) = self.api("GET", &format!("connections/{connection}"), None).await;
            let heard = ["state", "state_note", "last_error"];
            let is_said = heard.iter().any(|name| found[name].as_str().is_some_and(|t| t.contains(wanted)));
            last = found;
            is_said
        };
        if !until(is_there).await {
            panic!("“{wanted}” is not said: {last}\n{}", self.running.said());
        }
    }

    /// Waits until each of these orders is in the shop, and fails where one is there twice.
    pub async fn waits_for_shop(&self, platforms: &Platforms, ids: &[String]) {
        let is_there = async || {
            let copies = platforms.copies(ids).await;
            assert!(copies.iter().all(|count| *count < 2), "doubled: {copies:?}");
            copies.iter().all(|count| *count == 1)
        };
        if !until(is_there).await {
            let (_, effects) = self.api("GET", "effects", None).await;
            panic!("not all in the shop: {effects}\n{}", self.running.said());
        }
    }

    /// Stops it properly.
    pub async fn stop(mut self) {
        let process = rustix::process::Pid::from_child(&self.running.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.running.ends().await, Some(0), "{}", self.running.said());
    }
}

/// Asks again and again; false where it never came to be.
pub async fn until(mut is_there: impl AsyncFnMut() -> bool) -> bool {
    let start = SystemClock.now();
    while !is_there().await {
        if SystemClock.now().duration_since(start) > PATIENCE.try_into().unwrap() {
            return false;
        }
        SystemClock.sleep(Duration::from_millis(100)).await;
    }
    true
}

/// What somebody on the way does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// Nothing: it passes.
    None,
    /// A page of words in place of the answer.
    Page,
    /// An answer of 50 MB.
    Huge,
    /// An answer that comes a byte a second.
    Drip,
}

/// Somebody between an appliance and a platform.
pub struct Between {
    /// The platform's address by way of him.
    pub base_url: String,
    mischief: Arc<Mutex<Mischief>>,
}

impl Between {
    /// Stands before `base_url`, and touches only calls whose first line has `what` in it.
    pub async fn stand(base_url: &str, what: &'static str) -> Self {
        let upstream = base_url.strip_prefix("http://").unwrap();
        let (host, path) = upstream.split_once('/').unwrap_or((upstream, ""));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}/{path}", listener.local_addr().unwrap());
        let mischief = Arc::new(Mutex::new(Mischief::None));
        let (chosen, host) = (Arc::clone(&mischief), host.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let now = *chosen.lock().unwrap();
                // Whoever was called may have hung up: that is what this is about.
                let host = host.clone();
                tokio::spawn(async move { drop(pass(stream, &host, what, now).await) });
            }
        });
        Self { base_url: own.trim_end_matches('/').to_owned(), mischief }
    }

    /// From now on.
    pub fn does(&self, mischief: Mischief) {
        *self.mischief.lock().unwrap() = mischief;
    }
}

async fn pass(mut client: TcpStream, host: &str, what: &str, mischief: Mischief) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut byte = [0; 1];
        client.read_exact(&mut byte).await?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, rest) = text.split_once("\r\n").unwrap();
    if mischief == Mischief::None || !line.contains(what) {
        let mut server = TcpStream::connect(host).await?;
        server.write_all(format!("{line}\r\nconnection: close\r\n{rest}").as_bytes()).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    const LENGTH: usize = 50_000_000;
    let start = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    match mischief {
        Mischief::None => {}
        Mischief::Page => {
            let page = "<html><body>Sign in to this network</body></html>";
            let answer = format!("{start}content-length: {}\r\n\r\n{page}", page.len());
            client.write_all(answer.as_bytes()).await?;
        }
        Mischief::Huge => {
            client.write_all(format!("{start}\r\n[").as_bytes()).await?;
            let part = vec![b' '; 1_000_000];
            for _ in 0..LENGTH / part.len() {
                client.write_all(&part).await?;
            }
        }
        Mischief::Drip => {
            client.write_all(format!("{start}content-length: 1000\r\n\r\n").as_bytes()).await?;
            loop {
                client.write_all(b" ").await?;
                SystemClock.sleep(Duration::from_secs(1)).await;
            }
        }
    }
    Ok(())
}

/// A temporary folder, and its path.
pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}
