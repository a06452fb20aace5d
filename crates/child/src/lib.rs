//! A child: a locked-down process that holds sandboxes, and the protocol it speaks with the Work Master.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod lockdown;
