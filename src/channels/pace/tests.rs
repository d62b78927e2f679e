//! Quotas on a clock that the test moves.

use super::*;
use crate::clock::{Clock as _, ManualClock};

const POLL: Bucket = Bucket { operation: "poll", period: Duration::from_secs(180), burst: 20, reserve: 4 };

fn at_midnight() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-11-21T00:00:00Z".parse().unwrap()))
}

async fn take_all(pacer: &Pacer, operation: &'static str, priority: Priority) -> usize {
    let mut taken = 0;
    while pacer.admit(operation, priority).await.is_ok() {
        taken += 1;
        assert!(taken < 1000, "nothing stops this operation");
    }
    taken
}

#[tokio::test]
async fn bulk_work_leaves_the_reserve_to_people() {
    let clock = at_midnight();
    let pacer = Pacer::new(clock.clone(), &[POLL]);
    assert_eq!(take_all(&pacer, "poll", Priority::Bulk).await, 16);
    assert_eq!(pacer.lines()[0].left, Some(4));
    assert_eq!(take_all(&pacer, "poll", Priority::Interactive).await, 4);
    assert_eq!(
        pacer.admit("poll", Priority::Interactive).await,
        Err(ChannelError::Retry {
            after: Some(Duration::from_secs(180)),
            in_doubt: false,
            throttled: true,
            message: "the platform's quota for poll allows the next call in 180 s".to_owned(),
        })
    );
    assert_eq!(
        pacer.lines(),
        [QuotaLine { operation: "poll".to_owned(), left: Some(0), limit: Some(20), wait_s: 180 }]
    );
    clock.advance(Duration::from_secs(180));
    assert_eq!(take_all(&pacer, "poll", Priority::Bulk).await, 0, "one earned call belongs to the reserve");
    assert_eq!(take_all(&pacer, "poll", Priority::Interactive).await, 1);
}

#[tokio::test]
async fn a_platform_that_refuses_nearly_everything_is_asked_less_and_less() {
    let clock = at_midnight();
    let pacer = Pacer::new(clock.clone(), &[]);
    let pauses: Vec<u64> = (0..5).map(|_| pacer.refused("poll", None).as_secs()).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    pacer.passed("poll");
    assert_eq!(pacer.refused("poll", None).as_secs(), 32);
}

#[tokio::test]
async fn short_waits_are_sat_out_and_long_ones_are_not() {
    let clock = at_midnight();
    let fast = Bucket { operation: "fast", period: Duration::from_millis(500), burst: 1, reserve: 0 };
    let pacer = Pacer::new(clock.clone(), &[fast]);
    let start = clock.now();
    for _ in 0..5 {
        pacer.admit("fast", Priority::Bulk).await.unwrap();
    }
    assert_eq!(clock.now().duration_since(start).as_millis(), 2000);
    assert!(pacer.admit_within("fast", Priority::Bulk, Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn a_named_pause_holds_and_unnamed_ones_grow() {
    let clock = at_midnight();
    let pacer = Pacer::new(clock.clone(), &[]);
    assert_eq!(pacer.refused("create", Some(Duration::from_secs(9))), Duration::from_secs(9));
    assert!(pacer.admit("create", Priority::Interactive).await.is_err());
    clock.advance(Duration::from_secs(9));
    assert!(pacer.admit("create", Priority::Interactive).await.is_ok());
    pacer.passed("create");
    let pauses: Vec<_> = (0..9).map(|_| pacer.refused("create", None).as_secs()).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    for _ in 0..9 {
        pacer.passed("create");
    }
    assert_eq!(pacer.refused("create", None).as_secs(), 2);
}

#[tokio::test]
async fn a_window_that_others_use_too_is_learnt_from_headers() {
    let clock = at_midnight();
    let pacer = Pacer::new(clock.clone(), &[]);
    assert!(pacer.admit("store", Priority::Bulk).await.is_ok(), "nothing is known yet");
    let reading = |left, ms| WindowReading { left, limit: 150, resets_in: Duration::from_millis(ms) };
    pacer.learn_window("store", reading(20, 12_000));
    pacer.learn_window("store", reading(23, 11_990));
    assert_eq!(pacer.lines()[0].left, Some(20), "an answer that was overtaken does not give calls back");
    assert_eq!(take_all(&pacer, "store", Priority::Bulk).await, 5);
    assert_eq!(take_all(&pacer, "store", Priority::Interactive).await, 15);
    assert_eq!(pacer.lines()[0].wait_s, 12);
    clock.advance(Duration::from_secs(12));
    assert!(pacer.admit("store", Priority::Bulk).await.is_ok());
}

#[tokio::test]
async fn the_platform_may_say_another_rate() {
    let clock = at_midnight();
    let pacer = Pacer::new(clock.clone(), &[POLL]);
    pacer.learn_rate("poll", "0.0056");
    assert_eq!(pacer.period("poll").unwrap().as_secs(), 178);
    pacer.learn_rate("poll", "100.0");
    assert_eq!(pacer.period("poll"), Some(Duration::from_millis(10)));
    assert_eq!(pacer.lines()[0].limit, Some(100));
    for nonsense in ["", "0", "-1", "fast"] {
        pacer.learn_rate("poll", nonsense);
    }
    assert_eq!(pacer.period("poll"), Some(Duration::from_millis(10)));
}

#[tokio::test]
async fn a_clock_that_is_set_back_blocks_nothing() {
    let clock = at_midnight();
    let pacer = Pacer::new(clock.clone(), &[POLL]);
    take_all(&pacer, "poll", Priority::Interactive).await;
    clock.jump(jiff::SignedDuration::from_hours(-24));
    assert!(pacer.admit("poll", Priority::Interactive).await.is_err());
    clock.advance(Duration::from_secs(181));
    assert!(pacer.admit("poll", Priority::Interactive).await.is_ok());
}
