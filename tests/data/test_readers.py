"""Awkward files, made here: each is read as what it says, or refused in one line with the place or the cause."""

import bz2
import csv
import gzip
import io
import lzma
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from gdjax.cli.main import main
from gdjax.data import DataError, read_table
from gdjax.data.readers import records

N = float("nan")


def same(found, right):
    """Whether a frame has these columns in this order, with these values: numbers as numbers, text as text."""
    assert list(found.columns) == list(right)
    for name, values in right.items():
        column, words = found[name], any(isinstance(each, str) for each in values)
        assert (column.dtype.kind in "iuf") != words, f"{name}: {column.dtype}"
        assert column.isna().tolist() == [each != each for each in values], name
        assert column.dropna().tolist() == [each for each in values if each == each], name


def written(folder, content, name="table.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


WORDS = {"a": [1, 3], "b": ["x", "y"]}
NUMBERS = {"a": [1, 3], "b": [2, 4]}
HALVES = {"a": [1.5, 3.5], "b": [2, 4]}
IRIS = {"column_1": [5.1, 4.9, 6], "column_2": [3.5, 3, 3.25], "column_3": ["setosa", "setosa", "virginica"]}

# name -> (text, what it says, parts of what is noted)
READ = {
    # delimiters and lines
    "comma": ("a,b\n1,x\n3,y\n", WORDS, ()),
    "semicolon": ("a;b\n1;x\n3;y\n", WORDS, ["delimiter is ';'"]),
    "tab": ("a\tb\n1\tx\n3\ty\n", WORDS, ["delimiter is a tab"]),
    "pipe": ("a|b\n1|x\n3|y\n", WORDS, ["delimiter is '|'"]),
    "caret": ("a^b\n1^x\n3^y\n", WORDS, ["delimiter is '^'"]),
    "colon": ("a:b\n1:x\n3:y\n", WORDS, ["delimiter is ':'"]),
    "blanks": ("a  b\n1    x\n 3  y\n", WORDS, ["delimiter is blanks"]),
    "two blanks": ("name  a\nAnn Lee   1\nBob Ray  3\n", {"name": ["Ann Lee", "Bob Ray"], "a": [1, 3]}, ["two blanks"]),
    "blanks after commas": ("a, b\n1, x\n3 , y \n", WORDS, ()),
    "commas in text beside tabs": ("a\tb\n1\tx, y\n3\tz, w, v\n", {"a": [1, 3], "b": ["x, y", "z, w, v"]}, ["a tab"]),
    "semicolons in quotes": ('a,b\n1,"x;y"\n3,"z;w"\n', {"a": [1, 3], "b": ["x;y", "z;w"]}, ()),
    "a first line sep=;": ("sep=;\na;b\n1;x\n3;y\n", WORDS, ["first line names the delimiter"]),
    'a first line "sep=|"': ('"sep=|"\r\na|b\r\n1|x\r\n3|y\r\n', WORDS, ["first line names the delimiter"]),
    "sep=, against decimal commas": ('sep=,\na,b\n"1,5",2\n"3,5",4\n', HALVES, ["first line names"]),
    "one column": ("a\n1\n3\n", {"a": [1, 3]}, ()),
    "one column of decimal commas": ("a\n1,5\n3,5\n", {"a": [1.5, 3.5]}, ["decimal mark is a comma"]),
    "one column of sentences": ("a\nyes, I do\nno\nwell, so, so\n", {"a": ["yes, I do", "no", "well, so, so"]}, ()),
    "CRLF and blank lines": ("a,b\r\n\r\n1,x\r\n\r\n\r\n3,y\r\n\r\n", WORDS, ()),
    "CR": ("a,b\r1,x\r3,y", WORDS, ()),
    "no end of the last line": ("a,b\n1,x\n3,y", WORDS, ()),
    "lines of blanks": ("  \na,b\n1,x\n   \n3,y\n\t\n", WORDS, ()),
    "rows of commas": ("a,b\n1,x\n,\n3,y\n,\n,\n", WORDS, ["3 rows of empty cells"]),
    "comments": ("# made in May\n# a,b\n1,x\n3,y\n", WORDS, ()),
    "comments above names": ("# made in May\na,b\n1,x\n# late\n3,y\n", WORDS, ()),
    # quotes
    "quotes around all": ('"a","b"\n"1","x"\n"3","y"\n', WORDS, ()),
    "delimiters, lines and quotes in quotes": (
        'a,b\n1,"x, ""big"",\nlong"\n3,"y\n\n,z"\n',
        {"a": [1, 3], "b": ['x, "big",\nlong', "y\n\n,z"]},
        (),
    ),
    "single quotes": ("a,b\n1,'x, y'\n3,'z, w'\n", {"a": [1, 3], "b": ["x, y", "z, w"]}, ["quoted by '"]),
    "apostrophes": ("a,b\n1,d'x'y\n3,it's\n", {"a": [1, 3], "b": ["d'x'y", "it's"]}, ()),
    "inches": ('a,b\n5" pipe,1\n6" pipe,3\n', {"a": ['5" pipe', '6" pipe'], "b": [1, 3]}, ()),
    "escaped quotes": ('a,b\n1,"x \\"y\\" z"\n3,"y"\n', {"a": [1, 3], "b": ['x "y" z', "y"]}, ()),
    # headers
    "no header": ("5.1,3.5,setosa\n4.9,3.0,setosa\n6,3.25,virginica\n", IRIS, ["no line with names"]),
    "no header, a word first": (
        "red,1,2\nblue,3,4\nred,5,6\n",
        {"column_1": ["red", "blue", "red"], "column_2": [1, 3, 5], "column_3": [2, 4, 6]},
        (),
    ),
    "no header, a missing cell first": (
        "?,1,2\n7,3,4\n8,5,6\n",
        {"column_1": [N, 7, 8], "column_2": [1, 3, 5], "column_3": [2, 4, 6]},
        (),
    ),
    "no header, levels only": (
        "p,x,s\ne,x,y\np,b,s\ne,x,s\n",
        {"column_1": list("pepe"), "column_2": list("xxbx"), "column_3": list("syss")},
        (),
    ),
    "no header, dates": (
        "2020-01-01,x\n2020-01-02,y\n2020-01-03,z\n",
        {"column_1": ["2020-01-01", "2020-01-02", "2020-01-03"], "column_2": list("xyz")},
        (),
    ),
    "no header, numbers": ("1,2,3\n4,5,6\n", {"column_1": [1, 4], "column_2": [2, 5], "column_3": [3, 6]}, ()),
    "years as names": (
        "country,2019,2020\nFrance,5,7\nSpain,4,3\n",
        {"country": ["France", "Spain"], "2019": [5, 4], "2020": [7, 3]},
        ["header=False"],
    ),
    "many years as names": (
        "code;1990;1995;2000\nFR;5,5;7;1\nES;4;3;2\n",
        {"code": ["FR", "ES"], "1990": [5.5, 4], "1995": [7, 3], "2000": [1, 2]},
        ["header=False"],
    ),
    "one year as a name": (
        "country,2020\nFrance,5\nSpain,4\n",
        {"country": ["France", "Spain"], "2020": [5, 4]},
        ["header=False"],
    ),
    "one year as data": (
        "Bonn,2020\nKiel,2019\nUlm,2001\n",
        {"column_1": ["Bonn", "Kiel", "Ulm"], "column_2": [2020, 2019, 2001]},
        (),
    ),
    "years as data": (
        "A,2019,2020\nB,2018,2021\nC,2001,2003\n",
        {"column_1": list("ABC"), "column_2": [2019, 2018, 2001], "column_3": [2020, 2021, 2003]},
        (),
    ),
    "wavelengths as names": (
        "id,400,410,420\nu,0.5,0.25,0.5\nv,0.75,0.5,1.5\n",
        {"id": ["u", "v"], "400": [0.5, 0.75], "410": [0.25, 0.5], "420": [0.5, 1.5]},
        (),
    ),
    "two columns of one name": (
        "a,b,a\n1,2,3\n4,5,6\n",
        {"a": [1, 4], "b": [2, 5], "a_2": [3, 6]},
        ["two columns are named 'a'"],
    ),
    "three of one name beside its successor": (
        "a,a,a_2,a\n1,2,3,4\n5,6,7,8\n",
        {"a": [1, 5], "a_3": [2, 6], "a_2": [3, 7], "a_4": [4, 8]},
        ["'a_3'"],
    ),
    "a title above": ("Sales of 2020\n\na,b\n1,x\n3,y\n", WORDS, ["line 1, 'Sales of 2020'"]),
    "a title with commas above": ("Sales of 2020,\n,\na,b\n1,x\n3,y\n", WORDS, ["Sales of 2020"]),
    "units below names": (
        "t,v,who\ns,m/s,\n0.5,2,x\n1.5,3,y\n2.5,5,x\n",
        {"t": [0.5, 1.5, 2.5], "v": [2, 3, 5], "who": ["x", "y", "x"]},
        ["line 2 holds units"],
    ),
    "units in brackets": (
        "t;v\n[s];[°C]\n0,5;2\n1,5;3\n2,5;5\n",
        {"t": [0.5, 1.5, 2.5], "v": [2, 3, 5]},
        ["line 2 holds units"],
    ),
    "types below names": (
        "a,b,c\nint,float,str\n1,2.5,x\n2,3.5,y\n3,4.5,x\n",
        {"a": [1, 2, 3], "b": [2.5, 3.5, 4.5], "c": ["x", "y", "x"]},
        ["line 2 holds units"],
    ),
    "a unit for one column": (
        "who,v\n,(km)\nx,2\ny,3\nz,5\n",
        {"who": list("xyz"), "v": [2, 3, 5]},
        ["line 2 holds units"],
    ),
    "an unnamed index": (",a,b\n0,1,x\n1,3,y\n", WORDS, ["first column, which has no name, numbers the rows"]),
    "an index that pandas named": ("Unnamed: 0,a,b\n7,1,x\n2,3,y\n", WORDS, ["numbers the rows"]),
    "names of rows as R writes them": ("a b\nr1 1 x\nr2 3 y\n", {"column_1": ["r1", "r2"], **WORDS}, ["has no name"]),
    "numbers of rows as R writes them": ('"a","b"\n"1",1,"x"\n"2",3,"y"\n', WORDS, ["numbers the rows"]),
    "a byte order mark": ("\ufeffa,b\n1,x\n3,y\n", WORDS, ()),
    "a title with commas and spaces": (
        "Annual report, 2020\nsecond line\na,b,c\n1,2,x\n3,4,y\n",
        {"a": [1, 3], "b": [2, 4], "c": ["x", "y"]},
        ["Annual report"],
    ),
    "two lines above": (
        "Report\nMade: 2020-01-01\n\nb;a\nx;1,5\ny;3\n",
        {"b": ["x", "y"], "a": [1.5, 3]},
        ["'Report'"],
    ),
    "a remark above data without names": (
        "|1x3 Cross validator\n25, x, 8, u\n38, x, 9, w\n28, y, 3, u\n",
        {"column_1": [25, 38, 28], "column_2": list("xxy"), "column_3": [8, 9, 3], "column_4": list("uwu")},
        ["Cross validator", "no line with names"],
    ),
    "names again between rows": ("a,b\n1,x\na,b\n3,y\n", WORDS, ["stands again 1 times"]),
    "a table of Markdown": ("| a | b |\n|---|:--|\n| 1 | x |\n| 3 | y |\n", WORDS, ["delimiter is '|'"]),
    "numbers in columns of blanks, a text behind a tab": (
        '18.0   8   307.0\t"ford pinto"\n15.0   6   ?\t"amc"\n16.5   4   98.00\t"vw 1131"\n',
        {
            "column_1": [18, 15, 16.5],
            "column_2": [8, 6, 4],
            "column_3": [307, N, 98],
            "column_4": ["ford pinto", "amc", "vw 1131"],
        },
        ["delimiter is blanks", "no line with names"],
    ),
    "an index and one column": (",a\n0,1\n1,3\n", {"a": [1, 3]}, ["numbers the rows"]),
    # ends of lines and of the file
    "trailing commas": ("a,b,\n1,x,\n3,y,\n", WORDS, ["neither a name nor values"]),
    "trailing commas below names": ("a,b\n1,x,\n3,y,\n", WORDS, ["neither a name nor values"]),
    "trailing commas in one row": ("a,b\n1,x\n3,y,,,\n", WORDS, ()),
    "many trailing commas": ("a,b,,,\n1,x,,,\n3,y,,,\n", WORDS, ["column 5 has neither"]),
    "a row of totals": (
        "b,a\nx,1\ny,3\nTotal,4\n",
        {"b": ["x", "y"], "a": [1, 3]},
        ["line 4 below the table, 'Total'"],
    ),
    "totals below numbers": (
        "year,a\n2019,1\n2020,3\n2021,5\n2022,4\nTOTAL:,13\n",
        {"year": [2019, 2020, 2021, 2022], "a": [1, 3, 5, 4]},
        ["below the table"],
    ),
    "Summe": ("b;a\nx;1,5\ny;3\n\nSumme;4,5\n", {"b": ["x", "y"], "a": [1.5, 3]}, ["'Summe'"]),
    "Total as a level": (
        "b,a\nTotal,1\nx,3\nTotal,4\nx,2\ny,5\nx,7\nTotal,4\n",
        {"b": ["Total", "x", "Total", "x", "y", "x", "Total"], "a": [1, 3, 4, 2, 5, 7, 4]},
        (),
    ),
    "a source below": ("b,a\nx,1\ny,3\n\nSource: World Bank, 2020\n", {"b": ["x", "y"], "a": [1, 3]}, ["Source"]),
    # numbers
    "decimal commas": ("a;b\n1,5;2\n3,5;4\n", HALVES, ["decimal mark is a comma"]),
    "decimal commas in quotes": ('a,b\n"1,5",2\n"3,5",4\n', HALVES, ["decimal mark is a comma"]),
    "1.200 beside whole numbers and ;": (
        "a;b\n1.200;x\n950;y\n",
        {"a": [1200, 950], "b": ["x", "y"]},
        ["read as 1200", "decimal '.'"],
    ),
    "1.200 beside 3.5 and ;": ("a;b\n1.200;3.5\n2.100;6.25\n", {"a": [1.2, 2.1], "b": [3.5, 6.25]}, ()),
    "1.200 beside 3,5": ("a;b\n1.200;3,5\n2.100;6,25\n", {"a": [1200, 2100], "b": [3.5, 6.25]}, ["read as 1200"]),
    "1.200 alone beside ;": (
        "a;b\n1.200;5\n2.150;6\n",
        {"a": [1.2, 2.15], "b": [5, 6]},
        ["'1.200' is read as 1.2", "decimal ','"],
    ),
    "1.200 alone beside ,": ("a,b\n1.200,5\n2.150,6\n", {"a": [1.2, 2.15], "b": [5, 6]}, ()),
    "1.200,5": ("a;b\n1.200,5;2\n3,5;4\n", {"a": [1200.5, 3.5], "b": [2, 4]}, ["decimal mark is a comma"]),
    "1.234.567": ("a;b\n1.234.567;2\n950;4\n", {"a": [1234567, 950], "b": [2, 4]}, ["decimal mark is a comma"]),
    "1,234 in quotes": ('a,b\n"1,234",2\n"11,500",4\n', {"a": [1234, 11500], "b": [2, 4]}, ["read as 1234"]),
    "1,234 beside ;": (
        "a;b\n1,234;x\n2,345;y\n",
        {"a": [1.234, 2.345], "b": ["x", "y"]},
        ["read as 1.234", "decimal '.'"],
    ),
    "1,234,567.5": ('a,b\n"1,234,567.5",2\n"950",4\n', {"a": [1234567.5, 950], "b": [2, 4]}, ["separates thousands"]),
    "1 234 567": ("a;b\n1 234 567;2\n950;4\n", {"a": [1234567, 950], "b": [2, 4]}, ()),
    "1\u202f234,5": ("a;b\n1\u202f234,5;2\n950;4\n", {"a": [1234.5, 950], "b": [2, 4]}, ["decimal mark is a comma"]),
    "1'234.50": ("a;b\n1'234.50;2\n950;4\n", {"a": [1234.5, 950], "b": [2, 4]}, ()),
    "dollars": ('a,b\n"$396,538",2\n"$1,000",4\n', {"a": [396538, 1000], "b": [2, 4]}, ["'$' is taken off"]),
    "euros": ("a;b\n12,50 €;2\n1.000,00 €;4\n", {"a": [12.5, 1000], "b": [2, 4]}, ["'€' is taken off"]),
    "euros with thousands": ("a;b\n1.200 €;2\n2.350 €;4\n", {"a": [1200, 2350], "b": [2, 4]}, ["amount of money"]),
    "codes of currencies": ("a,b\nUSD 12.50,2\nUSD 7,4\n", {"a": [12.5, 7], "b": [2, 4]}, ["'USD' is taken off"]),
    "negative dollars": (
        'a,b\n"-$1,200.50",2\n($7.25),4\n',
        {"a": [-1200.5, -7.25], "b": [2, 4]},
        ["'$' is taken off"],
    ),
    "two currencies": ("a,b\n$5,2\n€7,4\n", {"a": ["$5", "€7"], "b": [2, 4]}, ["units differ: $, €"]),
    "percents": ("a,b\n5%,2\n7.5 %,4\n", {"a": [5, 7.5], "b": [2, 4]}, ["'%' is taken off"]),
    "percents and shares": ("a,b\n5%,2\n0.075,4\n", {"a": ["5%", "0.075"], "b": [2, 4]}, ["units differ: none, %"]),
    "parentheses": ("a,b\n(1.50),2\n3.5,4\n", {"a": [-1.5, 3.5], "b": [2, 4]}, ["parentheses are negative"]),
    "the minus of web pages": ("a,b\n−1.5,2\n3.5,4\n", {"a": [-1.5, 3.5], "b": [2, 4]}, ()),
    "an en dash for minus": ("a;b\n–1,5;2\n3,5;4\n", {"a": [-1.5, 3.5], "b": [2, 4]}, ["decimal mark is a comma"]),
    "signs and exponents": ("a,b\n+1.5e3,2\n-.5E-2,4\n", {"a": [1500, -0.005], "b": [2, 4]}, ()),
    "an exponent with a comma": (
        "a;b\n1,5e3;2\n2,5E-1;4\n",
        {"a": [1500, 0.25], "b": [2, 4]},
        ["decimal mark is a comma"],
    ),
    "underscores": ("a,b\n1_000,2\n2_000,4\n", {"a": ["1_000", "2_000"], "b": [2, 4]}, ()),
    "inf": (
        "a,b\ninf,2\n3.5,4\n-Infinity,5\n",
        {"a": [np.inf, 3.5, -np.inf], "b": [2, 4, 5]},
        ["2 numbers are infinite"],
    ),
    "the last bit": (
        "a\n0.1\n0.30000000000000004\n1.7976931348623157e308\n5e-324\n123456.78901234567\n",
        {"a": [0.1, 0.30000000000000004, 1.7976931348623157e308, 5e-324, 123456.78901234567]},
        (),
    ),
    "money in parentheses": ('a,b\n$(12.00),2\n"$(1,200.50)",4\n', {"a": [-12, -1200.5], "b": [2, 4]}, ["parentheses"]),
    "a minus behind": ("a,b\n5.00-,2\n7.25,4\n", {"a": [-5, 7.25], "b": [2, 4]}, ()),
    "grades": ("a,b\n2-,2\n1,4\n3+,5\n", {"a": ["2-", "1", "3+"], "b": [2, 4, 5]}, ["stays text"]),
    # text that looks like numbers
    "leading zeros": ("a,b\n01234,2\n98765,4\n", {"a": ["01234", "98765"], "b": [2, 4]}, ["stays text", "'01234'"]),
    "leading zeros of numbers": ("a,b\n01.5,2\n-03,4\n10,5\n", {"a": [1.5, -3, 10], "b": [2, 4, 5]}, ()),
    "whole numbers beyond 2^53": (
        "a,b\n9007199254740993,2\n5,4\n",
        {"a": ["9007199254740993", "5"], "b": [2, 4]},
        ["no float holds"],
    ),
    "whole numbers beyond 2^64": (
        "a,b\n-123456789012345678901234567890,2\n5,4\n",
        {"a": ["-123456789012345678901234567890", "5"], "b": [2, 4]},
        ["no float holds"],
    ),
    "whole numbers up to 2^53": ("a,b\n9007199254740992,2\n5,4\n", {"a": [2**53, 5], "b": [2, 4]}, ()),
    "large whole numbers among decimals": (
        "a,b\n12345678901234567890,2\n0.5,4\n",
        {"a": [12345678901234567890.0, 0.5], "b": [2, 4]},
        (),
    ),
    "large floats": (
        "a,b\n1e300,2\n12345678901234567890.5,4\n",
        {"a": [1e300, 12345678901234567890.5], "b": [2, 4]},
        (),
    ),
    "ranges": ("a,b\n40-49,2\n50-59,4\n", {"a": ["40-49", "50-59"], "b": [2, 4]}, ()),
    "dates": ("a,b\n2020-01-31,2\n2020-02-01,4\n", {"a": ["2020-01-31", "2020-02-01"], "b": [2, 4]}, ()),
    "dates with points": ("a,b\n31.01.2020,2\n01.02.2020,4\n", {"a": ["31.01.2020", "01.02.2020"], "b": [2, 4]}, ()),
    "times": ("a,b\n12:30,2\n08:15,4\n", {"a": ["12:30", "08:15"], "b": [2, 4]}, ()),
    "versions": ("a,b\n1.2.3,2\n1.10.0,4\n", {"a": ["1.2.3", "1.10.0"], "b": [2, 4]}, ()),
    "telephone numbers": ("a;b\n030 123 456;2\n0171 555;4\n", {"a": ["030 123 456", "0171 555"], "b": [2, 4]}, ()),
    "foreign telephone numbers": (
        "a;b\n+49 171 555;2\n+1 800 555;4\n",
        {"a": ["+49 171 555", "+1 800 555"], "b": [2, 4]},
        (),
    ),
    "3+": (
        "a,b\n" + "0,1\n1,2\n2,3\n3+,4\n" * 6,
        {"a": ["0", "1", "2", "3+"] * 6, "b": [1, 2, 3, 4] * 6},
        ["6 of 24 cells are no numbers"],
    ),
    # missing
    "question marks and NA": ("a,b\n?,2\n3.5,NA\n5,6\n", {"a": [N, 3.5, 5], "b": [2, N, 6]}, ["'?' and 'NA'"]),
    "many words": (
        "a,b,c,d,e\n-,2,n/a,x,1\n3,null,5,None,.\n4,7,#N/A,y,8\n",
        {"a": [N, 3, 4], "b": [2, N, 7], "c": [N, 5, N], "d": ["x", "None", "y"], "e": [1, N, 8]},
        ["'#N/A'"],
    ),
    "empty cells": ("a,b\n,x\n3,\n", {"a": [N, 3], "b": ["x", N]}, ()),
    "a column without values": ("a,b\n,x\n,y\n", {"a": [N, N], "b": ["x", "y"]}, ()),
    "NA and None among levels": (
        "a,b\nNA,1\nbrick,2\nNone,3\nstone,4\n",
        {"a": [N, "brick", "None", "stone"], "b": [1, 2, 3, 4]},
        ["'NA' is taken as missing", "'None' is kept"],
    ),
    "NA among countries": (
        "a,b\nNA,1\nDE,2\nFR,3\nZA,4\n",
        {"a": ["NA", "DE", "FR", "ZA"], "b": [1, 2, 3, 4]},
        ["'NA' is kept"],
    ),
    "NA among genotypes": (
        "a,b\nNA,1\nWW,2\nWM,3\nMM,4\n",
        {"a": [N, "WW", "WM", "MM"], "b": [1, 2, 3, 4]},
        ["'NA' is taken"],
    ),
    "NA among continents": ("a,b\nNA,1\nEU,2\nAS,3\n", {"a": ["NA", "EU", "AS"], "b": [1, 2, 3]}, ["'NA' is kept"]),
    "None among numbers": ("a,b\nNone,1\n2,2\n3.5,3\n4,4\n", {"a": [N, 2, 3.5, 4], "b": [1, 2, 3, 4]}, ["'None'"]),
    "- beside +": ("a,b\n-,1\n+,2\n+,3\n-,4\n", {"a": ["-", "+", "+", "-"], "b": [1, 2, 3, 4]}, ["'-' is kept"]),
    "-999": (
        "a,b\n-999,1\n21.5,2\n-3,3\n-999,4\n30,5\n",
        {"a": [N, 21.5, -3, N, 30], "b": [1, 2, 3, 4, 5]},
        ["-999 stands in 2 cells"],
    ),
    "-9999.0 and NA": (
        "a,b\n-9999.0,1\n21.5,2\nNA,3\n7,4\n",
        {"a": [N, 21.5, N, 7], "b": [1, 2, 3, 4]},
        ["-9999 stands in 1"],
    ),
    "-99 among its like": ("a,b\n-99,1\n-98,2\n-101,3\n7,4\n", {"a": [-99, -98, -101, 7], "b": [1, 2, 3, 4]}, ()),
    "9999": ("a,b\n9999,1\n21.5,2\n3,3\n7,4\n", {"a": [9999, 21.5, 3, 7], "b": [1, 2, 3, 4]}, ["missing='9999'"]),
    "case of levels": (
        "a,b\nYes,1\nyes,2\nYES,3\nno,4\n",
        {"a": ["Yes", "yes", "YES", "no"], "b": [1, 2, 3, 4]},
        ["differ in case only"],
    ),
    "truth values": ("a,b\nTRUE,1\nFALSE,2\nTRUE,3\n", {"a": ["TRUE", "FALSE", "TRUE"], "b": [1, 2, 3]}, ()),
}


@pytest.mark.parametrize("name", READ)
def test_an_awkward_file_is_read(tmp_path, name):
    text, right, notes = READ[name]
    table = read_table(written(tmp_path, text))
    same(table.frame, right)
    said = "; ".join(table.notes)
    assert all(note in said for note in notes), said
    assert notes or "decimal mark" not in said


ROWS = "".join(f"{i},{i / 4},{'xyz'[i % 3]}\n" for i in range(1000))

# name -> (text, what is said)
REFUSED = {
    "nothing": ("", "empty"),
    "blank lines": ("\n \r\n\n", "empty"),
    "names alone": ("a,b\n", "empty: there is a header and no row below it"),
    "an HTML page": ("\n <!DOCTYPE html>\n<html><body>1,2</body></html>", "no table but an HTML page"),
    "an HTML fragment": ("<HTML>\n<table><tr><td>1</td></tr></table>", "no table but an HTML page"),
    "a piece of HTML": ("<p>Not found</p>\n", "no table but an HTML page"),
    "XML": ("<?xml version='1.0'?><a/>", "no table but an XML document"),
    "JSON": ('[{"a": 1, "b": 2}]', "no table but JSON: write its table as CSV"),
    "a pointer of git-lfs": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "no table but a pointer of git-lfs, not the table itself: git lfs pull fetches it",
    ),
    "a pointer of git-annex": ("/annex/objects/SHA256E-s1--9\n", "no table but a pointer of git-annex"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "no table but a PDF document"),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no table but a PNG image"),
    "a JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "no table but a JPEG image"),
    "a pickle": (b"\x80\x04\x95\x0b\0\0\0", "no table but a pickle, which is not read since it may run code"),
    "SQLite": (b"SQLite format 3\0\x10\0", "no table but an SQLite database: export its table as CSV"),
    "random bytes": (np.random.default_rng(0).bytes(5000), "no table but binary data"),
    "a truncated gzip": (gzip.compress(ROWS.encode())[:-100], "damaged: Compressed file ended before"),
    "a long truncated gzip": (
        gzip.compress("".join(f"{i * 7919 % 100_003},{i * 104_729 % 1_000_003}\n" for i in range(20_000)).encode())[
            :-100
        ],
        "damaged: Compressed file ended before",
    ),
    "a spoiled gzip": (gzip.compress(ROWS.encode())[:-8] + b"\0" * 8, "damaged: CRC check failed"),
    "a packed page": (gzip.compress(b"<html></html>"), "no table but an HTML page"),
    "a truncated zip": (b"PK\x03\x04" + b"\0" * 40, "damaged: File is not a zip file"),
    "a truncated Parquet": (b"PAR1\x15\x04", "damaged: "),
    "a row that is longer": (
        "a,b,c\n1,2,x\n3,4,y\n5,6,7,z\n8,9,x\n",
        "line 4: 3 cells are needed, got 4 (a cell with ',' in it must stand in quotes)",
    ),
    "a row that is shorter": ("a;b;c\n1;2;x\n3;4\n5;6;y\n7;8;z\n", "line 3: 3 cells are needed, got 2"),
    "unquoted decimal commas": ("a,b\n1,5,2,5\n3,5,4,5\n", "2 problems: line 2: 2 cells are needed, got 4"),
    "decimal commas in one column": ("a,b\n1,5,2\n3,5,3\n", "2 problems: line 2: 2 cells are needed, got 3"),
    "a quote that is not closed": (
        'a,b\nx,1\n"y,2\nz,3\nx,4\n',
        "line 3: a quote is opened in a cell and not closed within 131,072 characters",
    ),
    "a quote closed far below": ('a,b\nx,1\n"y,2\nz,3\nx","u",4\ny,5\n', "2 problems: line 3: a quote is opened"),
    "a word among 1,000 numbers": ("a,b,c\n" + ROWS + "7,many,x\n", "line 1002, column 'b': 'many' is no number"),
    "a word in the first row": ("5,x1,0.5\n" + "7,1.5,2\n" * 9, "line 1, column 'column_2': 'x1' is no number"),
    "a word beside a number in the first row": (
        "x1,5\n" + "7,1.5\n8,2\n" * 9,
        "line 1, column 'column_1': 'x1' is no number; the option header=True takes the first line as names",
    ),
    "a word below names": ("who,v\nx,old\n" + "y,3\nz,5.5\n" * 5, "line 2, column 'v': 'old' is no number"),
    "a comma for a point": ("a;b\n" + "1.5;x\n2.25;y\n" * 30 + "1,5;x\n", "line 62, column 'a': '1,5' is no number"),
    "a letter O in a rating": ("a,b\n" + "1,x\n2,x\n10,y\n" * 30 + "1O,y\n", "line 92, column 'a': '1O' is no number"),
    "one word many times": (
        "a,b\n" + "1.5,x\n2.5,y\n3.5,x\n4.25,y\n" * 20 + "lost,x\n" * 5,
        "line 82, column 'a': 'lost' is no number (5 such cells; the option missing takes them as missing)",
    ),
    "many problems": (
        "a,b,c\n" + ROWS + "1,u,x\n1,2\n1,2,x,y\nv,1,x\n5,w,x\n6,t,x\n7,1,x\n",
        "6 problems: line 1002, column 'b': 'u' is no number; line 1003: 3 cells are needed, got 2; line 1004: 3 cells are "
        "needed, got 4 (a cell with ',' in it must stand in quotes); line 1005, column 'a': 'v' is no number; "
        "line 1006, column 'b': 'w' is no number; and 1 more",
    ),
    "UTF-8 with one other byte": (
        "a,b\ncafé,1\nthé,2\n".encode() + "crème,3\n".encode("cp1252") + "blé,4\n".encode(),
        "line 4 is not UTF-8, as 3 other lines are (1 such lines); the option encoding, such as cp1252, reads it",
    ),
    "numbers that are words in ARFF": (
        "@relation t\n@attribute a real\n@attribute b {x,y}\n@data\n1,x\nmany,y\n",
        "line 6, column 'a': 'many' is no number",
    ),
    "ARFF with short rows only": (
        "@relation t\n@attribute a real\n@attribute b real\n@data\n1\n2\n",
        "2 problems: line 5: 2 cells",
    ),
    "ARFF without data": ("@relation t\n@attribute a real\n", "an ARFF file without @data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name):
    text, said = REFUSED[name]
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: {said}") and "\n" not in str(caught.value)


def test_the_command_line_says_it_in_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for text, said in REFUSED.values():
        path = written(tmp_path, text)
        with pytest.raises(SystemExit) as stop:
            main(["train", path.name, "--quiet"])
        out, err = capsys.readouterr()
        assert (stop.value.code, out, err.count("\n")) == (2, "", 1) and err.startswith(
            f"gdjax: {path.name}: {said[:40]}"
        )
        assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_said(tmp_path):
    written(tmp_path, "a\n1\n", "houses.csv")
    for name, said in (
        ("house.csv", "no such file; did you mean 'houses.csv'?"),
        (".", "a folder, not a file with a table"),
    ):
        with pytest.raises(DataError, match=said.replace("?", r"\?")):
            read_table(tmp_path / name)


# Encodings.

CITIES = {
    "utf-8": ["Zürich", "東京", "Łódź"],
    "utf-8-sig": ["Zürich", "東京", "Łódź"],
    "utf-16": ["Zürich", "東京", "Łódź"],
    "utf-16-le": ["Zurich", "Berlin", "Łódź"],
    "utf-16-be": ["Zurich", "Berlin", "Łódź"],
    "cp1252": ["Zürich", "Málaga", "São Paulo"],
    "latin-1": ["Göteborg", "Ærø", "Nîmes"],
    "gbk": ["北京", "上海", "广州"],
    "gb18030": ["男", "女", "男孩"],
    "shift_jis": ["東京", "カナガワ", "さいたま"],
    "cp932": ["名前", "カラー", "アカ"],
    "euc_kr": ["서울", "부산", "인천"],
    "cp1250": ["Łódź", "Příbor", "Žďár"],
    "cp1251": ["Москва", "Пермь", "Тверь"],
}


@pytest.mark.parametrize("encoding", CITIES)
def test_an_encoding_is_recognized(tmp_path, encoding):
    right = {"city": CITIES[encoding], "a": [1.5, 2.5, 3]}
    for text in ("city,a\n{},1.5\n{},2.5\n{},3\n", "city;a\r\n{};1,5\r\n{};2,5\r\n{};3\r\n"):
        path = written(tmp_path, text.format(*CITIES[encoding]), encoding=encoding)
        table = read_table(path)
        same(table.frame, right)
        assert encoding.startswith("utf-8") == ("encoding" not in "; ".join(table.notes))
        same(read_table(path, encoding=encoding).frame, right)


def test_a_given_encoding_that_is_not_that_of_the_file_is_refused(tmp_path):
    path = written(tmp_path, "city,a\nBonn,1\nKöln,2\n", encoding="latin-1")
    with pytest.raises(DataError, match="line 3 is not utf-8, got the bytes f6"):
        read_table(path, encoding="utf-8")
    for encoding in ("klingon", "base64"):
        with pytest.raises(ValueError, match=f"read_table: encoding must be a text encoding, got '{encoding}'"):
            read_table(path, encoding=encoding)


# Options.

OPTIONS = [
    ("a:b\n1:2\n3:4\n", {"sep": ":"}, NUMBERS),
    ("a::b\n1::2\n3::4\n", {"sep": "::"}, NUMBERS),
    ("a b\n1   2\n3\t4\n", {"sep": " "}, NUMBERS),
    ("a,b;c\n1,2;3\n", {"sep": ";"}, {"a,b": [1.2], "c": [3]}),
    ("1,2\n3,4\n", {"header": True}, {"1": [3], "2": [4]}),
    ("a,b\n1,x\n", {"header": False}, {"column_1": ["a", "1"], "column_2": ["b", "x"]}),
    (
        "country,2019,2020\nFrance,5,7\n",
        {"header": False},
        {"column_1": ["country", "France"], "column_2": [2019, 5], "column_3": [2020, 7]},
    ),
    ("a;b\n1.200;x\n950;y\n", {"decimal": "."}, {"a": [1.2, 950], "b": ["x", "y"]}),
    ("a;b\n1.200;x\n2.100;y\n", {"decimal": ","}, {"a": [1200, 2100], "b": ["x", "y"]}),
    ('a,b\n"1,234",x\n"5,678",y\n', {"decimal": ","}, {"a": [1.234, 5.678], "b": ["x", "y"]}),
    ("a,b\n-999,1\n5,2\n7,-1\n", {"missing": ["-999", "-1"]}, {"a": [N, 5, 7], "b": [1, 2, N]}),
    ("a,b\n-999.0,lost\n5,x\n7,y\n", {"missing": ["-999", "lost"]}, {"a": [N, 5, 7], "b": [N, "x", "y"]}),
    ("a,b\n-999,1\n5,NA\n7,-1\n", {"missing": ["lost"]}, {"a": [-999, 5, 7], "b": [1, N, -1]}),
    ("a,b\nNA,1\nx,2\n,3\n", {"as_text": ["a", "b"]}, {"a": ["NA", "x", N], "b": ["1", "2", "3"]}),
    (
        "a,b\n" + "1.5,x\n2.5,y\n" * 9 + "lost,z\n",
        {"missing": ["lost"]},
        {"a": [1.5, 2.5] * 9 + [N], "b": ["x", "y"] * 9 + ["z"]},
    ),
    ("a\n1\n2;3\n4\n", {"lenient": True, "sep": ";"}, {"a": [1, N, 4]}),
    ("a,b\n1,x\n2\n3,y,z\n4,w\n", {"lenient": True}, {"a": [1, N, N, 4], "b": ["x", N, N, "w"]}),
    (
        "a,b\n" + "1.5,x\n2.5,y\n" * 9 + "lost,z\n",
        {"lenient": True},
        {"a": ["1.5", "2.5"] * 9 + ["lost"], "b": ["x", "y"] * 9 + ["z"]},
    ),
]


@pytest.mark.parametrize(("text", "options", "right"), OPTIONS, ids=[f"option {i}" for i in range(len(OPTIONS))])
def test_what_is_recognized_can_be_set(tmp_path, text, options, right):
    same(read_table(written(tmp_path, text), **options).frame, right)


def test_the_text_of_numbers_is_kept_beside_them(tmp_path):
    path = written(tmp_path, "y,a,z,w\n01,1.50,007,NA\n1,$2,8,\n1.0,?,9,x\n")
    table = read_table(path, keep_text=("y", "a", "z", "w"))
    same(table.frame, {"y": [1, 1, 1], "a": [1.5, 2, N], "z": ["007", "8", "9"], "w": [N, N, "x"]})
    kept = {name: [None if each != each else each for each in series] for name, series in table.text.items()}
    right = {"y": ["01", "1", "1.0"], "a": ["1.50", "$2", None], "z": ["007", "8", "9"], "w": [None, None, "x"]}
    assert kept == right


def test_a_cell_may_be_long(tmp_path):
    same(
        read_table(written(tmp_path, f"a,b\n1,{'x' * 200_000}\n3,y\n")).frame, {"a": [1, 3], "b": ["x" * 200_000, "y"]}
    )


def test_lines_are_those_of_the_file(tmp_path):
    table = read_table(written(tmp_path, 'Title\n\na,b\nkg,m\n1,2\n\n3,"4"\n5,6\n,\n7,"8\n"\n9,10\n'))
    assert table.lines.tolist() == [5, 7, 8, 10, 12]
    assert table.place(3, "b") == "line 10, column 'b'"


# What stands beyond the sample.

LATE = {
    "a code": ({11_000: "007,5,x"}, "a", lambda cells: cells),
    "a whole number beyond 2^53": ({11_000: "9007199254740993,5,x"}, "a", lambda cells: cells),
    "a dollar": (
        {11_000: '"$1,250",5,x'},
        "a",
        lambda cells: [1250.0 if "$" in cell else float(cell) for cell in cells],
    ),
    "a decimal comma": (
        {11_000: '1,"1.234.567,5",x', 11_500: '1,"1.000,5",x'},
        None,
        "2 problems: line 11002, column 'b'",
    ),
    "a word": ({11_000: "many,5,x"}, None, "line 11002, column 'a': 'many' is no number"),
    "a longer row": (
        {11_000: "1,5,x,y", 5: "1"},
        None,
        "2 problems: line 7: 3 cells are needed, got 1; line 11002: 3 cells",
    ),
    "a missing word": (
        {11_000: "unknown,5,x"},
        "a",
        lambda cells: [N if "u" in cell else float(cell) for cell in cells],
    ),
    "an accent": ({11_000: "3,5,é"}, "c", lambda cells: cells),
    "quotes": ({11_000: '"3",5,"x\n,y"'}, "a", lambda cells: [float(cell) for cell in cells]),
}


@pytest.mark.parametrize("name", LATE)
def test_what_stands_far_below_is_seen(tmp_path, name, monkeypatch):
    monkeypatch.setattr("gdjax.data.readers.passes.PART", 5000)
    changed, column, right = LATE[name]
    rows = [f"{i % 500},{i % 7}.5,{'xyz'[i % 3]}" for i in range(12_000)]
    for i, row in changed.items():
        rows[i] = row
    path = written(tmp_path, "\n".join(["a,b,c", *rows]) + "\n", encoding="latin-1")
    if column is None:
        with pytest.raises(DataError) as caught:
            read_table(path)
        assert str(caught.value).startswith(f"{path}: {right}")
        return
    frame = read_table(path).frame
    at = list("abc").index(column)
    expected = right([next(csv.reader([row.replace("\n", " ")]))[at] for row in rows])
    assert [found for found, each in zip(frame[column], expected, strict=True) if found != each and each == each] == []
    assert frame[column].isna().tolist() == [each != each for each in expected]
    others = frame.drop(columns=[column]).iloc[:11_000]
    assert others.equals(pd.read_csv(io.StringIO("\n".join(["a,b,c", *rows[:11_000]]))).drop(columns=[column]))


def test_a_decimal_comma_far_below_says_how_others_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("gdjax.data.readers.passes.PART", 1000)
    rows = [f"{i % 9 + 1}.{i % 900 + 100};{i}" for i in range(4000)]
    same(read_table(written(tmp_path, "\n".join(["a;b", *rows]))).frame[:2], {"a": [1.1, 2.101], "b": [0, 1]})
    table = read_table(written(tmp_path, "\n".join(["a;b", *rows, "1.100;12,5"])))
    assert table.frame["a"].tolist() == [1000 * (i % 9 + 1) + i % 900 + 100 for i in range(4000)] + [1100]
    assert table.frame["b"].tolist() == [*range(4000), 12.5]


@pytest.mark.parametrize("quote", ["", '"'], ids=["bare", "quoted"])
def test_names_and_empty_rows_far_below_are_left_out(tmp_path, monkeypatch, quote):
    monkeypatch.setattr("gdjax.data.readers.passes.PART", 1000)
    rows = [f"{quote}{i}{quote},{i / 4}" for i in range(5000)]
    rows[2500:2500] = ["a,b", ",", ""]
    rows[1500:1500] = ["a,b"]
    table = read_table(written(tmp_path, "\n".join(["a,b", *rows]) + "\n"))
    assert table.frame["a"].tolist() == list(range(5000)) and table.frame["b"].tolist() == [i / 4 for i in range(5000)]
    assert table.lines.tolist() == [*range(2, 1502), *range(1503, 2503), *range(2506, 5006)]


# Other formats.


def test_packed_files_and_archives_are_read(tmp_path):
    text = b"a;b\n1;x\n3;y\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner/t.csv", text)
    for pack, said in ((gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")):
        table = read_table(written(tmp_path, pack(text), "t.dat"))
        same(table.frame, WORDS)
        assert table.notes == (f"packed by {said}", "the delimiter is ';'")
    table = read_table(written(tmp_path, archive.getvalue(), "t.zip"))
    same(table.frame, WORDS)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("more.csv", text)
    with pytest.raises(DataError, match=r"t\.zip: an archive or document of 2 files: unpack the table first"):
        read_table(written(tmp_path, archive.getvalue(), "t.zip"))


def test_standard_input_is_read():
    program = "import gdjax as gd; t = gd.data.read_table('-'); print(t.frame.to_dict('list'), t.name, t.origin)"
    command = [sys.executable, "-c", program]
    for content in (b"a|b\n1|x\n3|y\n", gzip.compress(b"a|b\n1|x\n3|y\n")):
        done = subprocess.run(command, input=content, capture_output=True, check=True)
        assert b"{'a': [1, 3], 'b': ['x', 'y']} table 2 rows of standard input" in done.stdout


def test_the_name_and_the_origin_are_those_of_the_file(tmp_path):
    table = read_table(written(tmp_path, "a,b\n" + "1,2\n" * 1234, "houses.unknown"))
    assert (table.name, table.origin) == ("houses", "1,234 rows of houses.unknown")
    assert table.frame.index.equals(pd.RangeIndex(1234)) and table.lines.tolist() == list(range(2, 1236))


TYPED = pd.DataFrame(
    {
        "whole": [1, 2, 3],
        "holes": pd.array([1, None, 3], dtype="Int64"),
        "half": np.float32([0.5, np.nan, 2]),
        "text": ["01", None, "x"],
        "level": pd.Categorical(["u", "v", "u"]),
        "yes": [True, False, True],
        "day": pd.to_datetime(["2020-01-31 00:00", "2020-02-01 12:30", None]),
        "big": [2**60 + 1, 1, 2],
        "price": ["$1,200", "$7", "$3"],
    }
)
OF_TYPED = {
    "whole": [1, 2, 3],
    "holes": [1, N, 3],
    "half": [0.5, N, 2],
    "text": ["01", N, "x"],
    "level": ["u", "v", "u"],
    "big": [str(2**60 + 1), "1", "2"],
    "price": [1200, 7, 3],
}


def check_typed(table):
    frame = table.frame
    assert list(frame) == list(TYPED) and frame["yes"].tolist() == [True, False, True] and frame["yes"].dtype == bool
    assert frame["day"].dtype.kind == "M" and frame["day"].equals(TYPED["day"].astype(frame["day"].dtype))
    same(frame[list(OF_TYPED)], OF_TYPED)
    said = "; ".join(table.notes)
    assert "no float holds" in said and "'$' is taken off" in said


def test_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    TYPED.to_parquet(path)
    table = read_table(path, keep_text=("whole", "half"))
    check_typed(table)
    assert table.lines is None and table.place(1, "half") == "row 2, column 'half'"
    assert {name: list(each.dropna()) for name, each in table.text.items()} == {
        "whole": ["1", "2", "3"],
        "half": ["0.5", "2"],
    }
    TYPED.iloc[[0, 2, 1]].to_parquet(path)
    assert "numbers the rows" in "; ".join(read_table(path).notes)
    TYPED[:0].to_parquet(path)
    with pytest.raises(DataError, match="empty: there is a header and no row below it"):
        read_table(path)
    pd.DataFrame({"a": [[1, 2], [3]], "b": [1, 2]}).to_parquet(path)
    with pytest.raises(DataError, match="column 'a' must hold single values, got ndarray"):
        read_table(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"t\.parquet: damaged"):
        read_table(path)


def test_excel(tmp_path):
    path = tmp_path / "t.xlsx"
    TYPED.assign(big=TYPED["big"].astype(str)).to_excel(path, index=False)
    check_typed(read_table(path))
    rows = [["Sales", None, None, None], [None] * 4, ["", "shop", "x", "x"], [1, "u", 1, 2.5], [2, "w", 3, None]]
    with pd.ExcelWriter(path) as book:
        pd.DataFrame([["a note"]]).to_excel(book, sheet_name="about", index=False, header=False)
        sums = [[None, "Total", 4, 2.5]]
        pd.DataFrame(rows + sums).to_excel(book, sheet_name="data", index=False, header=False)
    table = read_table(path)
    same(table.frame, {"shop": ["u", "w"], "x": [1, 3], "x_2": [2.5, N]})
    assert table.lines.tolist() == [4, 5]
    said = "; ".join(table.notes)
    for note in (
        "sheet 'data' of 2",
        "line 1, 'Sales",
        "'Total', is left out",
        "numbers the rows",
        "two columns are named 'x'",
    ):
        assert note in said


def test_arff(tmp_path):
    text = """% made in May
@RELATION 'a b'

@attribute 'the age' numeric
@attribute kind {x, 'y z', 01}
@ATTRIBUTE said string
@attribute day DATE yyyy-MM-dd
@DATA
1,x,'it\\'s, so',2020-01-31
% between
?,'y z',?,?
2.5,01,NA,2020-02-01
"""
    table = read_table(written(tmp_path, text, "t.arff"))
    right = {
        "the age": [1, N, 2.5],
        "kind": ["x", "y z", "01"],
        "said": ["it's, so", N, "NA"],
        "day": ["2020-01-31", N, "2020-02-01"],
    }
    same(table.frame, right)
    assert table.lines.tolist() == [9, 11, 12]
    sparse = "@relation t\n@attribute a real\n@attribute b {no,yes}\n@attribute c real\n@data\n{0 3, 1 yes}\n{2 1.5}\n"
    same(read_table(written(tmp_path, sparse)).frame, {"a": [3, 0], "b": ["yes", "no"], "c": [0, 1.5]})


def test_arrays(tmp_path):
    path = tmp_path / "t.npz"
    x = np.array([[1.5, 2], [3, np.nan]], ">f8")
    np.savez(path, x=x, y=np.array(["a", "01"]), flag=[True, False], names=np.array(list("pqr")))
    frame = read_table(path).frame
    same(frame.drop(columns=["flag"]), {"x0": [1.5, 3], "x1": [2, N], "y": ["a", "01"]})
    assert frame["flag"].tolist() == [True, False] and "array 'names' of shape (3,)" in "; ".join(
        read_table(path).notes
    )
    np.save(tmp_path / "t.npy", x)
    same(read_table(tmp_path / "t.npy").frame, {"x0": [1.5, 3], "x1": [2, N]})
    np.savez(path, x=np.array(1.0))
    with pytest.raises(DataError, match=r"there must be an array of shape \(n,\) or \(n, d\) with n >= 1, got x \(\)"):
        read_table(path)
    np.savez(path, x=np.array([1, None], object))
    with pytest.raises(DataError, match="damaged: Object arrays cannot be loaded"):
        read_table(path)


def test_the_cells_of_a_quoted_line_are_counted_as_by_the_csv_module():
    """Random lines of letters, commas, quotes and blanks: whatever is counted without a reader is what the reader finds."""
    rng, counted = np.random.default_rng(0), 0
    for letters in rng.choice(list('a,," '), (20_000, 9)):
        line = "".join(letters).strip() + "\n"
        width = records._plain_width(line, records.Dialect())
        if width and '"' in line:
            counted += 1
            assert [len(cells) for cells in csv.reader([line], skipinitialspace=True)] == [width], line
    assert counted > 1000
