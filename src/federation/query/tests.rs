//! Tests of the query.
