//! SQL of the traffic: what agents report comes in, what people look at goes out, what is old goes.

pub mod keep;
pub mod read;
pub mod take;
