"""The broker in this process: the model that the contract suite and the state machine compare with."""
