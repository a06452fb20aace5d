//! The worker: a Work Master that schedules tasks over locked-down children, and brokers every host call.
#![forbid(unsafe_code)]

pub mod broker;
