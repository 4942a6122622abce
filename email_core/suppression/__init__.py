"""Who gets no mail: the lists of customers, and the managed list of addresses that bounced."""
