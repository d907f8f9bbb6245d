"""What users of TOSIP test their own algorithms and IOCs with."""
