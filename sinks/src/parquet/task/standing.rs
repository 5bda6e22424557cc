//! Where a partition stands, when the group's offset alone does not say: a new group, a topic that is made anew, a log cut off.

use std::collections::BTreeMap;

use broker::{BrokerError, TopicId, TopicPartition};

use super::super::survey::Survey;
use super::steps::ended;
use super::{ASK_TIMEOUT, Doubt, Job, State, Stepped, Task};
use crate::group::Tools;
use crate::group::generations::Generation;
use crate::group::protocol::{Intent, Place, Standing};

impl Task {
    /// Asks the store.
    pub(super) fn survey(&mut self, standing: Option<Standing>, doubt: Option<Doubt>, tools: &Tools<'_>) -> State {
        let id = self.place.topic_id;
        // All files are listed once in a table's life, when its topic's id is noted; and where there are no ids.
        let lists = id.is_some() || standing.is_none();
        let survey = self
            .lake
            .clone()
            .survey(self.table.clone(), self.partition.partition, id, lists);
        let job = tools.runtime.spawn(survey);
        State::Surveying { standing, doubt, job }
    }

    pub(super) fn surveyed(
        &mut self,
        standing: Option<Standing>,
        doubt: Option<Doubt>,
        mut job: Job<Survey>,
        tools: &mut Tools<'_>,
    ) -> Stepped {
        let survey = match ended(&mut job) {
            None => return Ok((State::Surveying { standing, doubt, job }, false)),
            Some(Ok(survey)) => survey,
            Some(Err(reason)) => return Ok((self.fault(State::Asking, reason, tools), false)),
        };
        let id = self.place.topic_id;
        let generations = &survey.generations;
        if generations.is_empty()
            && let (Some(id), Some(ends)) = (id, &survey.ends)
        {
            return self.accept_first(id, ends, standing.as_ref(), tools);
        }
        let generation = Generation::of(generations, id, self.partition.partition);
        if generation.is_none() && !generations.is_empty() {
            let reason = self.of_another_topic(generations, standing.as_ref());
            return Ok(self.refuse(reason, tools));
        }
        let number = generation.map_or(1, |generation| generation.generation);
        if let Some(doubt) = doubt
            && number <= doubt.generation
        {
            return Ok(self.refuse(doubt.reason, tools));
        }
        let standing = standing.filter(|standing| self.is_of(standing, number));
        let ends = generation.map(|generation| &generation.ends).or(survey.ends.as_ref());
        let after = ends.and_then(|ends| ends.get(&self.partition.partition)).map(|end| end + 1);
        self.stand(standing, number, survey.intent, after, tools)
    }

    /// Goes on where the lake stands, or where the group does if that is farther on: an operator gave something up.
    fn stand(
        &mut self,
        standing: Option<Standing>,
        number: u32,
        intent: Option<(Intent, bool)>,
        after: Option<i64>,
        tools: &mut Tools<'_>,
    ) -> Stepped {
        let place = |last| Place {
            topic_id: self.place.topic_id,
            generation: number,
            last,
        };
        let lake = match &intent {
            Some((intent, true)) => Some(intent.end + 1),
            Some((intent, false)) => Some(intent.start),
            None => after,
        };
        let committed = match standing {
            Some(Standing::Decided(mut intent)) => {
                intent.place = place(intent.place.last);
                return Ok((self.begin_check(intent, tools), true));
            }
            Some(Standing::Next { offset, .. }) => Some(offset),
            None => None,
        };
        if let (Some(offset), Some(lake)) = (committed, lake)
            && offset < lake
        {
            let (table, partition) = (self.table.name(), &self.partition);
            tracing::warn!(table, %partition, offset, lake, "the group's offset is behind the lake's, which holds: nothing is written twice");
        }
        match (committed, intent) {
            (Some(offset), Some((intent, true))) if offset > intent.end + 1 => self.resume(offset, place(None), tools),
            (Some(offset), Some((intent, false))) if offset > intent.start => self.resume(offset, place(None), tools),
            (_, Some((intent, true))) => self.resume(intent.end + 1, place(intent.place.last), tools),
            (_, Some((intent, false))) => Ok((self.begin_check(intent, tools), true)),
            (committed, None) => match committed.max(after) {
                Some(start) => self.resume(start, place(None), tools),
                None => {
                    let place = place(None);
                    match tools.reader.bounds(&self.partition, ASK_TIMEOUT) {
                        Ok((first, _)) => self.resume(first, place, tools),
                        Err(error) => self.broker_failed(State::Asking, error, tools),
                    }
                }
            },
        }
    }

    /// Whether something committed is about this generation; what says nothing is an operator's, or an earlier version's.
    fn is_of(&self, standing: &Standing, number: u32) -> bool {
        let is_of = match place_of(standing) {
            None => true,
            Some(place) if place.topic_id.is_none() => number == 1,
            Some(place) => place.topic_id == self.place.topic_id && place.generation == number,
        };
        if !is_of {
            let (table, partition) = (self.table.name(), &self.partition);
            tracing::warn!(table, %partition, ?standing, "what the group has committed is of an earlier topic");
        }
        is_of
    }

    fn of_another_topic(&self, generations: &[Generation], standing: Option<&Standing>) -> String {
        let topic = self.table.topic();
        let files = generations.last().map(Generation::id_text).unwrap_or_default();
        let now = match self.place.topic_id {
            Some(id) => {
                format!("topic {topic} is {id}, and the lake's files are of {files}: it was made anew, or is another cluster's")
            }
            None => format!("the broker does not say which topic {topic} is, and the lake's files are of {files}"),
        };
        match standing {
            Some(Standing::Decided(Intent { start, end, .. })) => {
                format!("{now}; offsets {start} to {end} of the earlier one were decided upon, and may be in no file")
            }
            _ => now,
        }
    }

    /// Notes which topic the files are of, once. Files without an id are taken for this topic's if its log reaches as far.
    fn accept_first(
        &mut self,
        id: TopicId,
        ends: &BTreeMap<u32, i64>,
        standing: Option<&Standing>,
        tools: &mut Tools<'_>,
    ) -> Stepped {
        let own = match standing {
            Some(Standing::Next { offset, .. }) => Some(offset - 1),
            Some(Standing::Decided(intent)) => Some(intent.end),
            None => None,
        };
        let own = own.filter(|end| *end >= 0).map(|end| (self.partition.partition, end));
        let all = ends.iter().map(|(partition, end)| (*partition, *end)).chain(own);
        let mut fits = true;
        for (partition, end) in all {
            let partition = TopicPartition::new(self.table.topic(), partition);
            fits &= match tools.reader.bounds(&partition, ASK_TIMEOUT) {
                Ok((_, log_end)) => end < log_end,
                Err(BrokerError::Topic { .. }) => false,
                Err(error) => return self.broker_failed(State::Asking, error, tools),
            };
        }
        if !fits && !self.retry.is_stubborn(&tools.settings.retry) {
            // A new leader may show its end a moment late, and what is noted stays.
            let reason = format!("the log of topic {} ends before the lake's files do", self.table.topic());
            return Ok((self.fault(State::Asking, reason, tools), false));
        }
        let generation = Generation {
            generation: 1,
            topic: self.table.topic().to_owned(),
            topic_id: fits.then_some(id),
            ends: ends.clone(),
            accepted_at: tools.clock.now(),
        };
        tracing::info!(
            table = self.table.name(),
            ?generation,
            "the lake notes which topic its files are of"
        );
        let (lake, table) = (self.lake.clone(), self.table.name().to_owned());
        let job = tools.runtime.spawn(async move { lake.accept(&table, &generation).await });
        Ok((State::Accepting(job), true))
    }

    pub(super) fn accepted(&mut self, mut job: Job<bool>, tools: &Tools<'_>) -> Stepped {
        match ended(&mut job) {
            None => Ok((State::Accepting(job), false)),
            // Whoever was first: it is asked what stands there.
            Some(Ok(_)) => Ok((State::Asking, true)),
            Some(Err(reason)) => Ok((self.fault(State::Asking, reason, tools), false)),
        }
    }
}

fn place_of(standing: &Standing) -> Option<&Place> {
    match standing {
        Standing::Next { place, .. } => place.as_ref(),
        Standing::Decided(intent) => Some(&intent.place),
    }
}
