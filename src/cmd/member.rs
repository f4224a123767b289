//! `skiff member`: the servers of the cluster, as the leader knows them.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;

use super::admin;
use super::cluster::{MEMBERS, MemberView, PROMOTE, REMOVE, Which};
use super::config::flags::{AdminFlags, MemberCommand, MemberFlags};

pub async fn run(command: MemberCommand) -> Result<()> {
    match command {
        MemberCommand::List(flags) => show(&flags, &[NAME, ID, ADDRESS, ROLE, VERSION]).await,
        MemberCommand::Status(flags) => show(&flags, &[NAME, ROLE, STATE, BEHIND, HEARD, VERSION, ADDRESS]).await,
        MemberCommand::Remove(flags) => change(flags, REMOVE, "removed").await,
        MemberCommand::Promote(flags) => change(flags, PROMOTE, "promoted").await,
    }
}

/// A column: its head, and what stands in it.
type Column = (&'static str, fn(&MemberView) -> String);

const NAME: Column = ("NAME", |it| or_dash(&it.member.name));
const ID: Column = ("ID", |it| it.member.id.clone());
const ADDRESS: Column = ("ADDRESS", |it| or_dash(&it.member.address));
const VERSION: Column = ("VERSION", |it| or_dash(&it.member.version));
const ROLE: Column = ("ROLE", |it| {
    let role = match (it.member.is_witness, it.is_leader, it.is_voter) {
        (true, _, true) => "witness",
        (_, true, _) => "leader",
        (false, false, true) => "voter",
        (_, false, false) => "learner",
    };
    role.to_owned()
});
/// A server that was not heard of for so long counts as away.
const AWAY_MS: u64 = 3_000;

const STATE: Column = ("STATE", |it| {
    let state = match (it.is_restoring, it.heard_ago_ms) {
        (true, _) => "restoring",
        (false, Some(ms)) if ms < AWAY_MS => "there",
        (false, _) => "away",
    };
    state.to_owned()
});
const BEHIND: Column = ("BEHIND", |it| match (it.is_restoring, it.behind) {
    (true, _) => "restoring".into(),
    (false, Some(entries)) => entries.to_string(),
    (false, None) => "-".into(),
});
const HEARD: Column = ("HEARD", |it| match it.heard_ago_ms {
    Some(ms) => format!("{:.1}s ago", ms as f64 / 1000.0),
    None => "never".into(),
});

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.to_owned() }
}

async fn show(flags: &AdminFlags, columns: &[Column]) -> Result<()> {
    let answer = admin::send(&flags.kubeconfig, Method::GET, MEMBERS, Bytes::new()).await?;
    let members: Vec<MemberView> =
        serde_json::from_slice(&answer).context("the server's answer is no list of members")?;
    if flags.output == "json" {
        println!("{}", serde_json::to_string_pretty(&members)?);
        return Ok(());
    }
    print!("{}", table(&members, columns));
    warnings(&members).iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(())
}

/// What an administrator should do something about.
fn warnings(members: &[MemberView]) -> Vec<String> {
    let mut warnings = Vec::new();
    let voters: Vec<&MemberView> = members.iter().filter(|it| it.is_voter).collect();
    let there = voters.iter().filter(|it| it.heard_ago_ms.is_some_and(|ms| ms < AWAY_MS)).count();
    let majority = voters.len() / 2 + 1;
    if voters.len() > 1 && voters.len().is_multiple_of(2) {
        let (more, fewer) = (voters.len() + 1, voters.len() - 1);
        warnings.push(format!(
            "an even number of voters ({}) survives no more losses than {fewer}: add one for {more}, or a witness",
            voters.len()
        ));
    }
    if voters.len() > 1 && there == majority {
        warnings.push(format!("{there} of {} voters are there: the next loss stops all writes", voters.len()));
    }
    if members.iter().all(|it| !it.is_leader) {
        warnings.push("no server leads: bring more than half of the voters back".to_owned());
    }
    warnings
}

fn table(members: &[MemberView], columns: &[Column]) -> String {
    let head = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let row = |member: &MemberView| columns.iter().map(|(_, show)| show(member)).collect::<Vec<String>>();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(members.iter().map(row)).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or_default() + 3;
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(at))).collect();
        format!("{}\n", cells.concat().trim_end())
    };
    rows.iter().map(line).collect()
}

async fn change(flags: MemberFlags, path: &str, done: &str) -> Result<()> {
    let body = serde_json::to_vec(&Which { member: flags.member.clone() })?;
    admin::send(&flags.admin.kubeconfig, Method::POST, path, body.into()).await?;
    println!("member {} {done}", flags.member);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::cluster::Member;

    #[test]
    fn sizes_that_survive_little_are_warned_of() {
        let voter = |is_leader: bool, heard: Option<u64>| MemberView {
            is_voter: true,
            is_leader,
            heard_ago_ms: heard,
            ..MemberView::default()
        };
        let two = warnings(&[voter(true, Some(0)), voter(false, Some(90))]);
        assert!(two[0].contains("even number") && two[1].contains("2 of 2"), "{two:?}");
        let three = [voter(true, Some(0)), voter(false, Some(90)), voter(false, Some(200))];
        assert!(warnings(&three).is_empty());
        let one_away = [voter(true, Some(0)), voter(false, Some(90)), voter(false, Some(9_000))];
        assert_eq!(warnings(&one_away), ["2 of 3 voters are there: the next loss stops all writes"]);
    }

    #[test]
    fn members_are_shown_in_columns() {
        let member = |name: &str| Member { id: "1f".into(), name: name.into(), ..Member::default() };
        let leader = MemberView { member: member("first"), is_voter: true, is_leader: true, ..MemberView::default() };
        let other =
            MemberView { member: member("b"), behind: Some(3), heard_ago_ms: Some(120), ..MemberView::default() };
        let shown = table(&[leader, other], &[NAME, ROLE, BEHIND, HEARD]);
        assert_eq!(
            shown,
            "NAME    ROLE      BEHIND   HEARD\nfirst   leader    -        never\nb       learner   3        0.1s ago\n"
        );
    }
}
