//! DHCPv4 and TFTP packets both ways, and the TFTP transfer as a state machine with time passed in.
#![forbid(unsafe_code)]
