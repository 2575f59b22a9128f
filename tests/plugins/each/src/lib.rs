//! Behaves well or badly, as its setting `act` says. The daemon's tests load it.

#![deny(unsafe_code)]

use std::time::Duration;

use dispatcher_plugin_api::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", rename_all = "kebab-case")]
enum Act {
    Describe,
    Receipt,
    Retry,
    Reject,
    Throttled,
    Broken,
    Progress,
    LongProgress,
    SecretProgress,
    LongReason,
    NastyReason,
    HugeReason,
    SecretInReason,
    SecretEverywhere,
    RefuseSettings,
    PanicInCreate,
    AbortOnAThread,
    PanicAtOnce,
    PanicAfterAwait,
    PanicInDrop,
    PanicInFutureDrop,
    PanicInBlocking,
    Sleep,
    SleepForEver,
    BlockTheThread,
    HoldTheThread,
    EndlessLoop,
    Chatter,
    HiddenChatter,
    Blocking,
    BlockUntilFile,
    Post,
    PostOnOwnThread,
    Count,
    Log,
    Trace,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
struct Settings {
    /// What to do.
    act: Act,
    /// Where `post` goes.
    #[serde(default)]
    url: Option<HttpUrl>,
    /// Put where it must not be shown.
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    file: Option<LocalPath>,
    #[serde(default)]
    to: Vec<HttpUrl>,
    /// What `trace` and `hold-the-thread` write.
    #[serde(default)]
    label: String,
}

struct Acting {
    settings: Settings,
    host: Host,
}

struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0, "bomb in a drop");
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        drop(Bomb(matches!(self.settings.act, Act::PanicInDrop)));
    }
}

impl Target for Acting {
    type Settings = Settings;

    fn create(settings: Settings, host: Host) -> Result<Self, Invalid> {
        let token = settings.token.as_ref().map_or("", Secret::expose);
        match settings.act {
            Act::RefuseSettings => Err(Invalid::at("to[1]", format_args!("{token}\nis refused"))),
            Act::PanicInCreate => panic!("bomb in create, {token}"),
            // Only the first thread of a process has its number.
            Act::AbortOnAThread
                if std::fs::read_link("/proc/thread-self")
                    .is_ok_and(|path| path.file_name() != path.iter().next()) =>
            {
                std::process::abort()
            }
            _ => Ok(Self { settings, host }),
        }
    }

    async fn probe(&self) -> Option<Verdict> {
        let token = self.settings.token.as_ref().map_or("", Secret::expose);
        match self.settings.act {
            Act::Receipt => Some(Ok(Receipt::id("open"))),
            Act::SecretInReason => Some(Err(Failure::broken(format!("{token} was refused"))
                .maybe_sent()
                .progress(*b"half"))),
            Act::PanicAtOnce => panic!("bomb in probe, {token}"),
            Act::SleepForEver => {
                self.host.sleep(Duration::MAX).await;
                Some(Ok(Receipt::none()))
            }
            Act::Post => Some(self.post(b"probe").await),
            _ => None,
        }
    }
}

impl Each for Acting {
    async fn deliver(&self, event: Event<'_>) -> Verdict {
        let token = self.settings.token.as_ref().map_or("", Secret::expose);
        let hour = Duration::from_secs(3600);
        match self.settings.act {
            Act::Describe => Ok(self.describe(event)),
            Act::Receipt => Ok(Receipt::id("SM1").with("price", 7).with("nasty\n", "\u{1b}[2J")),
            Act::Retry => Err(Failure::retry("later").after(hour).maybe_sent()),
            Act::Reject | Act::AbortOnAThread => Err(Failure::reject("never")),
            Act::Throttled => Err(Failure::throttled("too fast", Some(hour))),
            Act::Broken => Err(Failure::broken("no such account")),
            Act::Progress if event.progress().is_empty() => {
                Err(Failure::retry("half").progress(*b"\0half\xff"))
            }
            Act::Progress => Ok(Receipt::id(format!("{:?}", event.progress()))),
            Act::LongProgress => Err(Failure::retry("too much").progress(vec![1; 1025])),
            Act::SecretProgress => Err(Failure::retry("unwise").progress(token)),
            Act::LongReason => Err(Failure::retry("é".repeat(100_000))),
            Act::NastyReason => Err(Failure::retry("a\0b\nc\u{1b}[31m\u{202e}d\u{2028}")),
            Act::HugeReason => Err(Failure::retry("a\0b\nc\r\n".repeat(3_000))),
            Act::SecretInReason => Err(Failure::retry(format!("{token} was refused"))),
            Act::SecretEverywhere => Ok(Receipt::id(token).with(token, token)),
            Act::PanicAtOnce => panic!("bomb at once, {token}"),
            Act::PanicAfterAwait => {
                self.host.sleep(Duration::from_millis(1)).await;
                panic!("bomb after an await")
            }
            Act::PanicInFutureDrop => {
                let bomb = Bomb(true);
                self.host.sleep(hour).await;
                drop(bomb);
                Ok(Receipt::none())
            }
            Act::PanicInBlocking => self.host.blocking(|| panic!("bomb in blocking")).await?,
            Act::Sleep => {
                self.host.sleep(Duration::from_millis(1)).await;
                Ok(Receipt::id("slept"))
            }
            Act::SleepForEver => {
                self.host.sleep(Duration::MAX).await;
                Ok(Receipt::none())
            }
            Act::BlockTheThread => {
                std::thread::sleep(Duration::from_millis(1100));
                Ok(Receipt::none())
            }
            Act::HoldTheThread => self.hold_the_thread(),
            Act::EndlessLoop => loop {
                std::hint::spin_loop();
            },
            Act::Chatter => Ok(self.chatter()),
            Act::HiddenChatter => Ok(self.hidden_chatter()),
            Act::Blocking => {
                let id = event.id().to_owned();
                let id = self.host.blocking(move || id.to_lowercase()).await?;
                Ok(Receipt::id(id))
            }
            Act::BlockUntilFile => self.block_until_file().await,
            Act::Post => self.post(event.data()).await,
            Act::PostOnOwnThread => self.post_on_own_thread(event),
            Act::Count => Ok(self.count()),
            Act::Log => {
                let fields: &[(&str, &dyn std::fmt::Display)] = &[("token", &token), ("n", &1)];
                self.host.log(Level::Warn, format!("token {token}\nforged line"), fields);
                Ok(Receipt::none())
            }
            Act::Trace => self.trace().await,
            Act::RefuseSettings | Act::PanicInCreate | Act::PanicInDrop => Ok(Receipt::none()),
        }
    }
}

impl Acting {
    /// Every attribute of the event, for comparison with what was delivered.
    fn describe(&self, event: Event<'_>) -> Receipt {
        Receipt::id(event.id())
            .with("source", event.source())
            .with("type", event.event_type())
            .with("subject", format!("{:?}", event.subject()))
            .with("time", format!("{:?}", event.time()))
            .with("title", event.title())
            .with("message", event.message())
            .with("link", format!("{:?}", event.link()))
            .with("severity", event.severity())
            .with("attempt", event.attempt())
            .with("received_at", event.received_at_rfc3339())
            .with("header", format!("{:?}", event.header("X-Request")))
            .with("missing", format!("{:?}", event.header("x-missing")))
            .with("data", String::from_utf8_lossy(event.data()))
            .with("file", format!("{:?}", self.settings.file))
            .with("urls", self.settings.to.len())
    }

    async fn block_until_file(&self) -> Verdict {
        let (host, file) = (self.host.clone(), self.settings.file.clone());
        let job = move || {
            while !file.as_ref().is_some_and(|file| file.exists()) {
                std::thread::yield_now();
            }
            host.count("jobs_done", 1);
        };
        self.host.blocking(job).await?;
        Ok(Receipt::none())
    }

    /// Writes a line, waits for a file of the same name with `.open`, and writes another line.
    async fn trace(&self) -> Verdict {
        self.write("begin")?;
        while !self.is_open() {
            self.host.sleep(Duration::from_millis(10)).await;
        }
        self.write("end")?;
        Ok(Receipt::none())
    }

    /// The same without giving the thread back.
    fn hold_the_thread(&self) -> Verdict {
        self.write("begin")?;
        while !self.is_open() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.write("end")?;
        Ok(Receipt::none())
    }

    fn write(&self, what: &str) -> Result<(), Failure> {
        let Some(file) = &self.settings.file else { return Err(Failure::broken("no file")) };
        let line = format!("{what} {}\n", self.settings.label);
        let file = std::fs::File::options().create(true).append(true).open(&**file);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .map_err(|error| Failure::retry(error.to_string()))
    }

    fn is_open(&self) -> bool {
        self.settings.file.as_ref().is_some_and(|file| file.with_extension("open").exists())
    }

    fn chatter(&self) -> Receipt {
        (0..10_000).for_each(|n| self.host.log(Level::Error, format!("line {n}"), &[]));
        Receipt::none()
    }

    fn hidden_chatter(&self) -> Receipt {
        (0..1_000).for_each(|n| self.host.debug(format!("hidden {n}")));
        self.host.error("worth a place");
        Receipt::none()
    }

    fn count(&self) -> Receipt {
        (0..40).for_each(|n| self.host.count(&format!("counter_{n}"), 1));
        self.host.count("counter_0", 5);
        self.host.count("no good name", 1);
        Receipt::none()
    }

    async fn post(&self, data: &[u8]) -> Verdict {
        let Some(url) = &self.settings.url else { return Err(Failure::broken("no url")) };
        let response = self.host.post(url).bearer("t").body(data).send().await?;
        let receipt = response.verdict()?;
        Ok(receipt.with("body", String::from_utf8_lossy(response.body())))
    }

    /// Polls like a plugin with its own executor.
    fn post_on_own_thread(&self, event: Event<'_>) -> Verdict {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| block_on(self.post(event.data())));
            thread.join().unwrap_or_else(|_| Err(Failure::reject("the thread panicked")))
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

export_target!(Acting, name = "test-each", each, description = "Does as told", fan_out = "to");
