"""The same few counts in both formats, for tests that change a cell of them."""

PIVOT = """\
,Lat,Long,1/30/20,1/31/20,2/1/20,2/2/20
,sum,sum,sum,sum,sum,sum
Country/Region,,,,,,
"Korea, South",36.0,128.0,1,2,5,4
Guyana,5.0,-58.75,0,0,7,607
"""
SOURCE = """\
Province/State,Country/Region,Lat,Long,1/30/20,1/31/20,2/1/20,2/2/20
,"Korea, South",36.0,128.0,1,2,5,4
Interior,Guyana,5.0,-58.75,0,0,3,600
Coast,Guyana,5.1,-58.75,0,0,4,7
"""
