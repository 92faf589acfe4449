"""The rules of SageMaker Debugger, to run anywhere: ``byoc.debugger.rules.registry.RULES``.

Tensor rules subclass smdebug's ``Rule`` (``rules.base``), profiler rules a base of our own
(``rules.profiler``). Names, parameters and defaults are AWS's (parameter set ``aws``, from the page
debugger-built-in-rules, last in awsdocs' history in February 2023); ``recommended`` is ours. AWS
never published the rules' code: where its text is silent, each rule's docstring says what we chose,
and no result is claimed to be AWS's bit for bit.
"""
